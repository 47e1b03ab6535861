"""What makes the site's pages; ``make site`` builds all of it, and fails where a link is broken."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from c7n_secops.registration import element_files
from c7n_secops_tools.cli import COMMANDS
from tests.harness import POLICIES, ROOT


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs" / "site" / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, before Sphinx makes HTML of them."""
    folder = tmp_path_factory.mktemp("site-source")
    build.copy_guides(folder)
    build.write_reference(folder)
    return folder


def test_every_guide_is_in_the_table_of_contents(source: Path) -> None:
    index = (source / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"\ndocs/{page.stem}\n" in index, page.name
        assert (source / "docs" / page.name).exists()


def test_a_page_that_only_a_link_leads_to_says_so(source: Path) -> None:
    others = list(source.glob("src/**/*.md"))
    assert others
    assert all(page.read_text().startswith("---\norphan: true\n---\n") for page in others)
    assert not (source / "README.md").read_text().startswith("---")


def test_every_element_policy_and_command_has_its_page(source: Path) -> None:
    reference = source / "reference"
    for element in element_files():
        page = (reference / element.kind / f"{element.name}.rst").read_text()
        assert f".. _{element.kind}-{element.name}:" in page
        assert ".. rubric:: Example" in page
        for name in element.load().permissions:
            assert f"- ``{name}``" in page
    for mode in ("eventbridge", "inspector-finding"):
        assert (reference / "modes" / f"{mode}.rst").exists()
    commands = (reference / "commands.rst").read_text()
    for name in COMMANDS:
        assert f":prog: c7n-secops {name}\n" in commands
    for file in POLICIES.glob("*/*.yml"):
        page = (reference / "policies" / f"{file.parent.name}.rst").read_text()
        for policy in yaml.safe_load(file.read_text())["policies"]:
            assert f".. _policy-{policy['name']}:" in page
            assert f"severity **{policy['metadata']['severity']}**" in page
            for control in policy["metadata"].get("controls", ()):
                assert control in page


def test_a_page_names_the_policies_that_use_its_element(source: Path) -> None:
    page = (source / "reference" / "actions" / "ssm-patch.rst").read_text()
    used = re.findall(r"<policy-([^>]+)>", page)
    assert "ec2-patch-critical" in used
    assert "ec2-unscanned" not in used


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["a", "b"]}, "one of ``a``, ``b``"),
        ({"type": "string", "pattern": "^x$"}, "text of the form ``^x$``"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer from 1 to 9"),
        ({"type": "array", "items": {"type": "boolean"}}, "a list of: ``true`` or ``false``"),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, "text or a mapping"),
        ({"$ref": "#/definitions/filters_common/value_from"}, "what Custodian calls value_from"),
        ({"const": 3}, "``3``"),
        ({}, "anything"),
    ],
)
def test_a_key_says_in_words_what_it_takes(
    build: ModuleType, schema: dict[str, Any], words: str
) -> None:
    assert build.takes(schema) == words


def test_keys_inside_others_have_their_path_and_required_ones_say_so(build: ModuleType) -> None:
    inner = {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}
    outer = {"properties": {"type": {"enum": ["x"]}, "a": {"type": "array", "items": inner}}}
    assert list(build.keys_of(outer)) == [
        ("a", "a list of: a mapping"),
        ("a.b", "text; required"),
    ]


FOREIGN = (
    '<script src="https://cdn.invalid/x.js"></script>',
    '<link rel="stylesheet" href="//cdn.invalid/x.css">',
    '<img src="http://cdn.invalid/x.png">',
)
OWN = ('<a href="https://example.invalid/">', '<img src="_images/x.svg">', "<p>https://x.invalid")


def loads(build: ModuleType, folder: Path) -> Iterator[str]:
    return (address for _, address in build.loaded_from_network(folder))


def test_a_page_that_loads_something_from_the_network_is_found(
    build: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "own.html").write_text("".join(OWN))
    (tmp_path / "own.css").write_text("a { background: url(x.png) }")
    assert list(loads(build, tmp_path)) == []
    for number, text in enumerate(FOREIGN):
        (tmp_path / f"{number}.html").write_text(text)
    (tmp_path / "x.css").write_text('@import "https://x.invalid/y.css"; b { c: url(//z.invalid) }')
    assert len(list(loads(build, tmp_path))) == len(FOREIGN) + 2
