"""Policy tests: cases in YAML, run offline, and the mutation check (see docs/policy-tests.md)."""
