"""Benchmarks that need a GPU; `--small` runs the same programs on a CPU, to see that they do, not how fast."""
