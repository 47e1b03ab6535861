"""How a command ends, as Custodian does and one more."""

BAD_INPUT = 1
"""Nothing was done: a file, a policy or an option is wrong."""
FAILED = 2
"""A policy, an account or a case failed."""
FAIL_ON = 3
"""All went well, and there is what ``--fail-on`` names."""
INTERRUPTED = 130
