"""Where in a file a part of a policy stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from c7n.utils import SafeLoader


class Place(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


START = Place(1, 1)


def place_of(mark: Any) -> Place:
    """The place that one of YAML's marks names."""
    return START if mark is None else Place(mark.line + 1, mark.column + 1)


def policies_in(file: Path) -> dict[str, Place]:
    """Where each policy of a file stands, by its name; none where it is no policy file."""
    try:
        text = file.read_text(encoding="utf-8")
        data, places = yaml.load(text, Loader=SafeLoader), Places(text)  # noqa: S506
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    policies = data.get("policies") if isinstance(data, dict) else None
    return {
        str(policy["name"]): places.find(["policies", number, "name"])
        for number, policy in enumerate(policies if isinstance(policies, list) else ())
        if isinstance(policy, dict) and "name" in policy
    }


class Places:
    """The places of one YAML or JSON text."""

    def __init__(self, text: str):
        self._top = yaml.compose(text, Loader=SafeLoader)

    def find(self, path: Iterable[str | int]) -> Place:
        """Where the value at this path stands; that of what holds it, where there is none."""
        node, found = self._top, self._top and self._top.start_mark
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pairs = {key.value: (key, value) for key, value in node.value}
                if step not in pairs:
                    break
                key, node = pairs[step]
                found = key.start_mark
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                if step >= len(node.value):
                    break
                node = node.value[step]
                found = node.start_mark
            else:
                break
        return place_of(found)


def path_to(data: Any, kind: str) -> list[str | int]:
    """The path to the first element of this type in a policy's filters or actions; [] without."""
    if isinstance(data, str):
        return []
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, Mapping):
        pairs = data.items()
    elif isinstance(data, Sequence):
        pairs = enumerate(data)
    for step, value in pairs:
        if value == kind or (isinstance(value, Mapping) and value.get("type") == kind):
            return [step]
        below = path_to(value, kind)
        if below:
            return [step, *below]
    return []
