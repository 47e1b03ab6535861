"""Incident response: evidence and containment of an instance, and the way back.

In the Lambda archives of the policies that use it, and in no other.
"""
