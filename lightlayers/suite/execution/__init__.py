"""Trains rows of tables through the notebooks of their data sets, here or on a cluster."""
