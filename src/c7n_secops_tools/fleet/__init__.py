"""Sweeps: policies over every account and region, with an outcome for each of them."""
