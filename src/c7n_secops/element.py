"""What every filter and action of ours shares: Lambda completion, errors, recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from c7n.element import Element
from c7n.exceptions import PolicyValidationError
from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops import outcomes, plans
from c7n_secops.schema_errors import explained
from c7n_secops.serverless import complete_mode

if TYPE_CHECKING:
    from c7n_secops.registration import ElementFile

UNFILTERED_MODES = ("hub-finding", "hub-action")


class SecOpsElement(Element):
    """Mixin of every filter and action; put it before c7n's own base class.

    ``annotations`` names the keys that the element writes on a resource and what they hold,
    ``packages`` the packages of ours that it imports beside its own and the core: a policy's
    Lambda archive carries these, and no other. An action may have ``plan(resources)``, which
    ``custodian run --dryrun`` shows (see :mod:`c7n_secops.plans`).
    """

    annotations: ClassVar[dict[str, str]] = {}
    packages: ClassVar[tuple[str, ...]] = ()
    data: dict[str, Any]
    manager: Any
    type: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "schema" in vars(cls):
            kind = "filter" if issubclass(cls, Filter) else "action"
            name = cls.schema["properties"]["type"]["enum"][0]
            cls.schema = explained(cls.schema, f"{kind}:{name}")

    def validate(self) -> Any:
        """Complete the policy's Lambda mode, so that the function can load this element."""
        complete_mode(self.manager.data, type(self), self.packages)
        mode = self.manager.data.get("mode") or {}
        if mode.get("type") in UNFILTERED_MODES and isinstance(self, Filter):
            raise self.invalid(
                f"is never asked in mode {mode['type']}: Custodian runs the actions there on every "
                "resource of the event; use mode eventbridge with source aws.securityhub"
            )
        if hasattr(self, "plan") and self.manager.config.dryrun:
            plans.show_for(self.manager)
        return super().validate()

    @property
    def name(self) -> str:
        """The element's name in policies; an action's result file is ``action-<name>``."""
        return self.type

    @property
    def label(self) -> str:
        """How messages name this element, for example ``filter:inspector-finding``."""
        kind = "filter" if isinstance(self, Filter) else "action"
        return f"{kind}:{self.type}"

    def invalid(self, message: str) -> PolicyValidationError:
        """The error for a policy's author: raise it with what is wrong, where, and the fix."""
        policy = self.manager.data.get("name", "unknown")
        return PolicyValidationError(f"policy:{policy} {self.label} {message}")

    def not_evaluated(
        self, resources: Iterable[dict[str, Any]], code: str, reason: str
    ) -> list[dict[str, Any]]:
        """Record that nothing can be said of these resources, and return the records."""
        return outcomes.record(self, resources, code, reason)

    def refuse_inside_not(self, instead: str) -> None:
        """Raise where a ``not`` block holds this filter; ``instead`` is how to ask the opposite.

        There, a resource that could not be evaluated would turn into a match.
        """
        if self._is_inside_not():
            raise self.invalid(
                "cannot be inside not, where a resource of which nothing is known would match; "
                f"use {instead}"
            )

    def _is_inside_not(self) -> bool:
        blocks: list[Any] = []
        for item in self.manager.iter_filters(block_end=True):
            if item is None:
                blocks.pop()
            elif item is self:
                return any(block.type == "not" for block in blocks)
            elif item.type in ("and", "or", "not"):
                blocks.append(item)
        return False


def unloadable(element: ElementFile, error: Exception) -> type[SecOpsElement]:
    """A stand-in for an element that failed to import: any policy that uses it says why."""
    reason = f"{type(error).__name__}: {error}"

    class Unloadable(SecOpsElement, Filter):
        schema = {**type_schema(element.name), "additionalProperties": True}

        @property
        def label(self) -> str:
            return f"{element.kind.removesuffix('s')}:{element.name}"

        def validate(self) -> Any:
            raise self.invalid(
                f"could not be loaded from {element.module}: {reason}; "
                "reinstall c7n-secops or install what is missing"
            )

    Unloadable.__doc__ = f"Not available: {element.module} could not be loaded: {reason}"
    return Unloadable
