"""Attacks on the package, a row of `benchmarks/faults.py` each."""
