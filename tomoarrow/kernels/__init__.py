"""The hot loops: flat arrays in, flat arrays out. The only rooms that import numba."""
