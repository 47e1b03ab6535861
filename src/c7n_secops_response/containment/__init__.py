"""Containment of instances: what it was like before, one module for each thing that is changed."""
