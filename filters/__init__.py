"""The filters: one a file, found by :mod:`c7n_secops.registration`."""
