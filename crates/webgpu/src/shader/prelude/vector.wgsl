// V is what `x_get` of an array by WIDTH gives.

#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#end
