"""Security operations for Cloud Custodian: filters, actions, event modes and policy packs."""

__version__ = "0.1.0"
