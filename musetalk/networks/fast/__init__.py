"""Module swaps (accelerate), the folded time path, Winograd, fused kernels, CUDA graphs."""
