"""What several tests and the benchmarks share: small networks, random weights, stand-in hosts."""
