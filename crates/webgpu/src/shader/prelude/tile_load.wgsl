    // Inside main: loads this invocation's vectors of the first step into x0 .. and w0 ..
    let load_vector = thread % VECTORS;
    let load_row = thread / VECTORS;
    var depth = depth_start(load_vector);
#for i in 0..X_LOADS
    let row$i = locate(first_row + load_row + $iu * LOAD_ROWS);
    var x$i = x_load(row$i, depth);
#end
#for j in 0..W_LOADS
    let column$j = first_column + load_row + $ju * LOAD_ROWS;
    var w$j = w_load(column$j, depth);
#end
