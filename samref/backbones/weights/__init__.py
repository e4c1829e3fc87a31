"""Published weights: found, verified and loaded. `samref weights` is the command."""
