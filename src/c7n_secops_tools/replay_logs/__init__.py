"""Access logs of the past, replayed: whom a policy, or a rate-based rule, would have blocked."""
