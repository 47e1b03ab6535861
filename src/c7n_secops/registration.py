"""Finds the elements' files and hands each to the resource classes that it names.

An element is a file in ``filters/`` or ``actions/`` of one of our packages (``c7n_secops_ssm`` is
one). Its name in policies is the file's name with dashes (``ssm_patch.py`` is ``ssm-patch``), and
the file says in one line where it applies::

    RESOURCES = ("aws.ec2", "aws.lambda")

That line is read from the source, so a module is imported only when one of its resource classes
is. Event modes are files in ``modes/``; they are few and small and loaded at once.
"""

from __future__ import annotations

import ast
import logging
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import ModuleInfo
from typing import Any, NamedTuple

from c7n_secops.element import SecOpsElement, unloadable

log = logging.getLogger("custodian.c7n_secops")

REGISTRIES = {"filters": "filter_registry", "actions": "action_registry"}
RESOURCES_LINE = re.compile(r"^RESOURCES\s*=\s*(\([^)]*\))", re.MULTILINE)


class ElementFile(NamedTuple):
    """One element: ``kind`` is filters or actions, ``resources`` are names such as aws.ec2."""

    kind: str
    name: str
    module: str
    resources: tuple[str, ...]

    def load(self) -> type[SecOpsElement]:
        """Import the module and return its one element class."""
        module = import_module(self.module)
        own = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, SecOpsElement)
            and value.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise ImportError(
                f"{self.module} must define exactly one element class, found {len(own)}"
            )
        return own[0]


@cache
def element_files() -> tuple[ElementFile, ...]:
    """Every element, read from the files of ``filters/`` and ``actions/`` of our packages."""
    return tuple(element for kind in REGISTRIES for element in _files_of(kind))


def _files_of(kind: str) -> list[ElementFile]:
    found = []
    for module in _modules_in(kind):
        spec = module.module_finder.find_spec(module.name, None)
        resources = _resources_in(spec.loader.get_source(module.name))  # type: ignore[union-attr]
        if not resources:
            log.error(
                'c7n-secops leaves out %s: it needs a line such as RESOURCES = ("aws.ec2",)',
                spec.origin,  # type: ignore[union-attr]
            )
            continue
        name = module.name.rpartition(".")[2].replace("_", "-")
        found.append(ElementFile(kind, name, module.name, resources))
    return found


def _modules_in(folder: str) -> Iterator[ModuleInfo]:
    """The modules in a folder of our packages: those that are installed here, side by side."""
    for package in sorted(Path(__file__).parents[1].glob("c7n_secops*")):
        yield from pkgutil.iter_modules([str(package / folder)], f"{package.name}.{folder}.")


def _resources_in(source: str) -> tuple[str, ...]:
    line = RESOURCES_LINE.search(source)
    try:
        resources = ast.literal_eval(line[1]) if line else ()
    except (SyntaxError, ValueError):
        return ()
    return resources if isinstance(resources, tuple) else ()


def attach(_registry: Any, resource_class: Any) -> None:
    """Register on one resource class, as it loads, the elements that name it. Idempotent."""
    resource = f"aws.{resource_class.type}"
    for element in element_files():
        elements = getattr(resource_class, REGISTRIES[element.kind])
        if resource not in element.resources or element.name in elements:
            continue
        try:
            elements.register(element.name, element.load())
        except Exception as error:  # one broken element must not hide the others
            elements.register(element.name, unloadable(element, error))


def register() -> None:
    """Subscribe to resource loads, replay those already loaded, and register the event modes."""
    from c7n.policy import execution
    from c7n.resources.aws import AWS

    from c7n_secops import unsupported

    if attach in AWS.resources._subscribers:
        return
    AWS.resources.subscribe(attach)
    for resource_class in list(AWS.resources.values()):
        attach(AWS.resources, resource_class)

    for module in _modules_in("modes"):
        mode = import_module(module.name)
        if hasattr(mode, "MODE"):
            execution.register(module.name.rpartition(".")[2].replace("_", "-"), mode.MODE)
    unsupported.install()
