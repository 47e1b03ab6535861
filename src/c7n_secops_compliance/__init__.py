"""Benchmarks: what stock filters cannot read of an account, its users and its routes."""
