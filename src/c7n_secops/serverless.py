"""Makes a policy in any Lambda mode ship our packages and start through our handler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from c7n.exceptions import PolicyValidationError

PACKAGE = "c7n_secops"
HANDLER = "c7n_secops.handler.run"
STOCK_HANDLER = "custodian_policy.run"


def complete_mode(policy: dict[str, Any], user: type, more: Sequence[str] = ()) -> None:
    """Set ``mode.packages`` and ``mode.handler`` in a policy's own data, where it has a mode.

    The function carries the core, the package of the element or mode that is its ``user``, and
    ``more`` that this one imports.

    A handler of the author's own is kept: it must call :func:`c7n_secops.registration.register`.
    The stock handler knows none of our elements, so naming it is an error here and not at the
    function's first event.
    """
    mode = policy.get("mode")
    if not isinstance(mode, dict) or mode.get("type", "pull") == "pull":
        return
    packages = mode.setdefault("packages", [])
    own = user.__module__.partition(".")[0]
    packages.extend(name for name in dict.fromkeys((PACKAGE, own, *more)) if name not in packages)
    if mode.setdefault("handler", HANDLER) == STOCK_HANDLER:
        raise PolicyValidationError(
            f"policy:{policy.get('name', 'unknown')} mode.handler {STOCK_HANDLER} cannot load "
            f"c7n-secops elements; remove it, or set it to {HANDLER}"
        )
