"""``c7n-secops replay``: an event-mode policy, run here as Lambda would run it."""
