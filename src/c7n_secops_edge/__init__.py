"""The edge: floods in access logs, addresses blocked for a time.

In the Lambda archives of the policies that use it, and in no other.
"""
