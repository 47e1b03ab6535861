"""GuardDuty and Inspector: which accounts and regions are joined to their administrator.

In the Lambda archives of the policies that use it, and in no other.
"""
