"""Benchmarks against the standard library: run by hand or by ``make bench``, never part of the package."""
