"""Prints what gitexp costs beside its peers: `python -m benchmarks --help`. The method is in docs/benchmarks.md."""
