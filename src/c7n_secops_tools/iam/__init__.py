"""The IAM policies that a set of Custodian policies needs, and no more."""
