    // Inside main: the tile of the result for this workgroup. Tiles are ordered along the rows in strips of 8 columns,
    // so that concurrent workgroups share operands in the cache.
    let tile = u.first_tile + group.x + group.y * groups.x;
    if (tile >= u.tiles_m * u.tiles_n) {
        return;
    }
    let strip = tile / (8u * u.tiles_m);
    let strip_width = min(u.tiles_n - strip * 8u, 8u);
    let in_strip = tile - strip * 8u * u.tiles_m;
    let first_row = in_strip / strip_width * TILE_M;
    let first_column = (strip * 8u + in_strip % strip_width) * TILE_N;
