"""Benchmarks, as ratios in one run: training, networks, layers, rules of ranks, exported files."""
