"""The evidence of a case: where it is kept, who holds the case, what was done and what was found.

Objects of an instance stand in the evidence bucket under
``<prefix>/<case>/<account>/<region>/<instance>/``: ``lock.json``, ``evidence/…``, ``ledger/…`` and
``manifest.json``, which is written last.
"""
