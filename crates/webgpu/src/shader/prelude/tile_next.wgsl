        // Loads the next step's vectors while this step's are multiplied. Past the end of K they are zero.
        depth = depth_advance(depth);
#for i in 0..X_LOADS
        x$i = x_load(row$i, depth);
#end
#for j in 0..W_LOADS
        w$j = w_load(column$j, depth);
#end
