// Copies with any strides on both sides, and casts, for permute, narrow, concat, repeat and cast. Axes are in
// innermost-first order; sizes, strides and offsets are counted in vectors.

#uniforms sizes: array<vec4<u32>, 2>, x_strides: array<vec4<u32>, 2>, y_strides: array<vec4<u32>, 2>, x_offset: u32, y_offset: u32, count: u32
#if Y == u16
// Two neighbouring results share a word, so the result must be dense and begin at 0.
#input x: X by 1
#output y: Y by 2
#else
#input x: X by WIDTH
#output y: Y by WIDTH
#end

struct Place {
    x: u32,
    y: u32,
}

fn place(i: u32) -> Place {
    var rest = i;
    var place = Place(u.x_offset, u.y_offset);
#for axis in 0..AXES
    {
        let size = u.sizes[$axisu / 4u][$axisu % 4u];
        place.x += rest % size * u.x_strides[$axisu / 4u][$axisu % 4u];
        place.y += rest % size * u.y_strides[$axisu / 4u][$axisu % 4u];
        rest /= size;
    }
#end
    return place;
}

#use each

fn each(i: u32) {
#if Y == u16
    if (i * 2u < u.count) {
        let second = min(i * 2u + 1u, u.count - 1u);
        y_put(i, vec2<u32>(x_get(place(i * 2u).x), x_get(place(second).x)));
    }
#else
    let at = place(i);
    y_put(at.y, V(x_get(at.x)));
#end
}
