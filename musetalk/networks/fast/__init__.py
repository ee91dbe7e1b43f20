"""Faster ways to compute the same networks: ``accelerate`` swaps them in after loading."""
