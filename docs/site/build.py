"""Builds the documentation site: the guides, and reference pages out of what the code says.

``make site`` writes it to ``build/site``; it opens without a server and asks nothing of the
network. A link that leads nowhere is an error. The pages are laid out in ``build/site-source`` as
they are in the repository, so that their links are the same in both.
"""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from c7n.policy import execution
from c7n.resources import load_resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sphinx.cmd.build import build_main
from sphinx.util.rst import escape

from c7n_secops.registration import element_files
from c7n_secops_tools.cli import COMMANDS
from c7n_secops_tools.testing.runs import names_in

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LINK = re.compile(r"\]\(([^)\s#]+)")
FOREIGN = re.compile(r"(?:\w+:)?//")
STYLE_LOADS = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")
GUIDES = ("quick-start", "concepts", "adopting", "authoring", "iam", "replay-logs", "faq")
"""The guides that have a place in the order; those that have none come after them."""
PROJECT = ("architecture", "threat-model", "limits", "emulator", "dependencies")
TOP = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
ORPHAN = "---\norphan: true\n---\n\n"
"""What begins a page that only links lead to."""
KINDS = {"filters": "Filter", "actions": "Action"}
OURS = "c7n_secops"


class ReferencePage(NamedTuple):
    """A filter, an action or an event mode, as its page shows it."""

    kind: str
    name: str
    what: str
    resources: tuple[str, ...]
    first: str
    text: str
    keys: list[tuple[str, str]]
    permissions: list[str]
    used_by: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the documentation site.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    output = parser.parse_args().output
    source = output.parent / f"{output.name}-source"
    for folder in (source, output):
        shutil.rmtree(folder, ignore_errors=True)
    copy_guides(source)
    write_reference(source)
    failed = build_main(
        ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE), str(source), str(output)]
    )
    foreign = list(loaded_from_network(output))
    for page, address in foreign:
        print(f"{page} loads {address}; put it into the site", file=sys.stderr)  # noqa: T201
    return 1 if failed or foreign else 0


class Loads(HTMLParser):
    """Collects what a browser loads with a page; links that a reader follows are none."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        names = ["src", "srcset", "data", "poster", *(["href"] if tag == "link" else [])]
        self.addresses += [value for name in names if (value := found.get(name))]


def loaded_from_network(site: Path) -> Iterator[tuple[Path, str]]:
    """Each page or style sheet that loads something that is not in the site, and what."""
    for page in sorted(site.rglob("*.html")):
        parser = Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from ((page, found) for found in parser.addresses if FOREIGN.match(found))
    for sheet in sorted(site.rglob("*.css")):
        for found in STYLE_LOADS.findall(sheet.read_text(encoding="utf-8")):
            if FOREIGN.match(found):
                yield sheet, found


def copy_guides(source: Path) -> None:
    """Every page, and every file of the repository that one links to or shows."""
    pages = [ROOT / name for name in TOP] + sorted((ROOT / "docs").glob("*.md"))
    linked = {
        (page.parent / link).resolve()
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link
    }
    policies = (ROOT / "policies").rglob("*.yml")
    for file in {*pages, *filter(Path.is_file, linked), *policies}:
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md" and file not in pages:
            target.write_text(ORPHAN + file.read_text(encoding="utf-8"), encoding="utf-8")
        else:
            shutil.copyfile(file, target)


def write_reference(source: Path) -> None:
    environment = Environment(  # noqa: S701  (pages of Sphinx, no HTML)
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined
    )
    environment.filters["rst"] = lambda text: escape(" ".join(str(text).split()))

    def write(path: str, template: str, **values: Any) -> None:
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(template).render(**values)
        target.write_text(text + "\n", encoding="utf-8")

    packs = list(read_packs())
    policies = [p for pack in packs for file in pack["files"] for p in file["policies"]]
    pages = {kind: list(elements(kind, policies)) for kind in KINDS} | {
        "modes": list(modes(policies))
    }
    titles = {"filters": "Filters", "actions": "Actions", "modes": "Event modes"}
    for kind, found in pages.items():
        write(
            f"reference/{kind}.rst",
            "elements.rst.jinja",
            title=titles[kind],
            folder=kind,
            elements=found,
        )
        for element in found:
            write(f"reference/{kind}/{element.name}.rst", "element.rst.jinja", e=element)
    write("reference/policies.rst", "policies.rst.jinja", packs=packs)
    for pack in packs:
        write(f"reference/policies/{pack['name']}.rst", "pack.rst.jinja", pack=pack)
    targets = [
        (name, f"{module}:{name.replace('-', '_')}") for name, (module, _) in COMMANDS.items()
    ]
    write("reference/commands.rst", "commands.rst.jinja", commands=targets)
    names = sorted(page.stem for page in (ROOT / "docs").glob("*.md"))
    runbooks = [name for name in names if name.startswith("runbook-")]
    write(
        "index.md",
        "index.md.jinja",
        guides=[*GUIDES, *(name for name in names if name not in {*GUIDES, *runbooks, *PROJECT})],
        runbooks=runbooks,
        project=PROJECT,
        policies=len(policies),
        **{kind: len(found) for kind, found in pages.items()},
    )


def elements(kind: str, policies: list[dict[str, Any]]) -> Iterator[ReferencePage]:
    """The filters or actions, in the order of their names."""
    files = [element for element in element_files() if element.kind == kind]
    load_resources(tuple({name for element in files for name in element.resources}))
    for file in sorted(files, key=lambda file: file.name):
        element = file.load()
        yield ReferencePage(
            kind=kind,
            name=file.name,
            what=KINDS[kind],
            resources=file.resources,
            used_by=[p["name"] for p in policies if file.name in p["uses"][kind]],
            **described(element),
        )


def modes(policies: list[dict[str, Any]]) -> Iterator[ReferencePage]:
    """The event modes of ours."""
    load_resources(("aws.ec2",))
    for name, mode in sorted(execution.items()):
        if mode.__module__.startswith(OURS):
            yield ReferencePage(
                kind="modes",
                name=name,
                what="Event mode",
                resources=getattr(mode, "resources", None) or ("any resource",),
                used_by=[p["name"] for p in policies if p["mode"] == name],
                **described(mode),
            )


def described(element: Any) -> dict[str, Any]:
    text = (inspect.getdoc(element) or "").replace(":example:", ".. rubric:: Example")
    return {
        "first": text.partition("\n")[0],
        "text": text,
        "keys": list(dict(keys_of(element.schema)).items()),
        "permissions": sorted(set(getattr(element, "permissions", ()))),
    }


def keys_of(schema: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Each key of a schema, those inside others with their path, and what it takes."""
    required = schema.get("required", ())
    for key, part in schema.get("properties", {}).items():
        path = f"{above}{key}"
        if path != "type":
            yield path, takes(part) + ("; required" if key in required else "")
        for inner in (part, part.get("items", {}), *part.get("anyOf", ()), *part.get("oneOf", ())):
            if isinstance(inner, dict):
                yield from keys_of(inner, f"{path}.")


def takes(part: dict[str, Any]) -> str:
    """What a value may be, in words."""
    for choice in ("anyOf", "oneOf"):
        if choice in part:
            return " or ".join(dict.fromkeys(takes(each) for each in part[choice]))
    if "$ref" in part:
        return f"what Custodian calls {part['$ref'].rpartition('/')[2]}"
    if "enum" in part:
        return "one of " + ", ".join(f"``{each}``" for each in part["enum"])
    if "const" in part:
        return f"``{part['const']}``"
    kind = part.get("type", "anything")
    if kind == "array":
        return f"a list of: {takes(part.get('items', {}))}"
    words = {"object": "a mapping", "string": "text", "boolean": "``true`` or ``false``"}
    said = words.get(str(kind), f"{kind}")
    if "pattern" in part:
        said += f" of the form ``{part['pattern']}``"
    if "minimum" in part or "maximum" in part:
        said += f" from {part.get('minimum', '…')} to {part.get('maximum', '…')}"
    return said


def read_packs() -> Iterator[dict[str, Any]]:
    """Each folder of policies."""
    for folder in sorted(path for path in (ROOT / "policies").iterdir() if path.is_dir()):
        files = [read_policies(file) for file in sorted(folder.glob("*.yml"))]
        yield {"name": folder.name, "files": [file for file in files if file["policies"]]}


def read_policies(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    head = [
        line.lstrip("# ") for line in text.split("policies:")[0].splitlines() if line[:1] == "#"
    ]
    policies = [
        {
            "name": data["name"],
            "description": data["description"],
            "resource": data["resource"],
            "mode": data.get("mode", {}).get("type", "pull"),
            **data["metadata"],
            "controls": data["metadata"].get("controls", ()),
            "uses": {kind: set(names_in(data.get(kind))) for kind in KINDS},
        }
        for data in yaml.safe_load(text)["policies"]
    ]
    path = file.relative_to(ROOT).as_posix()
    return {"name": file.name, "path": path, "head": head, "policies": policies}


if __name__ == "__main__":
    sys.exit(main())
