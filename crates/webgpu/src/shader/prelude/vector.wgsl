// V is the element type of an array by WIDTH: vectors or single numbers of f32 (of u32 in kernels that copy words).

#if Y == u32
alias E = u32;
#else
alias E = f32;
#end
#if WIDTH == 4
alias V = vec4<E>;
#else
alias V = E;
#end
