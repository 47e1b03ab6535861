"""Programs that measure what the documentation claims: ``make bench``, ``make bench NAME=x``."""
