"""How long a wait may last: what a policy asks, or less when a Lambda's time runs out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

RESERVE = 120.0
"""Seconds that a Lambda keeps for what follows a wait."""

_lambda_end: ContextVar[float | None] = ContextVar("lambda_end", default=None)


@contextmanager
def of_lambda(context: Any) -> Iterator[None]:
    """Bound every wait inside by the time that this Lambda invocation has left."""
    left = context.get_remaining_time_in_millis() / 1000
    token = _lambda_end.set(time.monotonic() + left)
    try:
        yield
    finally:
        _lambda_end.reset(token)


def after(seconds: float) -> float:
    """The :func:`time.monotonic` instant at which a wait of so many seconds must end."""
    end = time.monotonic() + seconds
    lambda_end = _lambda_end.get()
    return end if lambda_end is None else min(end, lambda_end - RESERVE)
