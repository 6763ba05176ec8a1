// V is what an array by WIDTH holds: vectors, or single numbers, of f32 (of u32 where a kernel moves words).

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
