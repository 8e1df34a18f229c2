"""Measures the product beside something else in the same run: `python -m benchmarks --help`. Results: benchmarks/RESULTS.md."""
