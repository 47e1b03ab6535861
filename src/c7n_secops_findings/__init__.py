"""Findings of every service as one record: decoded, enriched, stored.

In the Lambda archives of the policies that use it, and in no other.
"""
