"""Findings of AWS's security services: how to ask for them and what they say of a resource."""
