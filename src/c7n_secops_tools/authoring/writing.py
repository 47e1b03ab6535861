"""Writes an element or a policy out of templates, in the working folder."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from c7n.config import Config
from c7n.policy import Policy
from c7n.provider import clouds
from c7n.resources import load_resources
from jinja2 import Environment, PackageLoader, StrictUndefined

from c7n_secops_tools.authoring.checks import REFUSALS
from c7n_secops_tools.authoring.places import policies_in
from c7n_secops_tools.coverage.controls import files_of

NAME = re.compile(r"[a-z][a-z0-9]+(-[a-z][a-z0-9]+)*")
LONGEST_ELEMENT = 40
LONGEST_POLICY = 54
"""What Lambda leaves of a function's 64 characters beside Custodian's prefix."""
ACCOUNT, REGION = "111122223333", "eu-west-1"
REGISTRIES = {"filter": "filter_registry", "action": "action_registry"}
RIGHT = {"filter": '"values": ["x"]', "action": '"value": "x"'}
TABLES = {"element": "| element | resources |", "policy": "| policies | what for |"}
WHAT = {
    "filter": "finds resources whose tag has none of the values that are named",
    "action": "sets a tag on resources that do not have it",
}
"""What the README says of an element until its author does."""


class NotWrittenError(Exception):
    """What cannot be written, and why. Nothing was written."""


class Examples(NamedTuple):
    """Four resources of a kind, made up: as Custodian has them, their ids and their ARNs."""

    rows: list[dict[str, Any]]
    ids: list[str]
    arns: list[str]


def new_policy(name: str, resource: str, folder: Path | None) -> list[Path]:
    """A policy and its case."""
    known_name(name, LONGEST_POLICY)
    folder = folder or Path("policies")
    unused(name)
    values = facts(resource) | {"policy": name}
    files = policy_files("policy", name, folder, values)
    readme = readme_with({"policy": policy_row(folder, name, values)}) if is_checkout() else {}
    return written(files, readme)


def new_element(part: str, name: str, resource: str, folder: Path | None, field: str) -> list[Path]:
    """A filter or an action, the policy that uses it, its case and its test."""
    known_name(name, LONGEST_ELEMENT)
    if not is_checkout():
        raise NotWrittenError(
            "this folder is no checkout of c7n-secops: run it at the top of one, or write a policy "
            "with c7n-secops new policy, which works anywhere"
        )
    fields = sorted(path.name.partition("_secops_")[2] for path in Path("src").glob("c7n_secops_*"))
    if field not in fields or not Path(f"{part}s", field).is_dir():
        raise NotWrittenError(f"no field {field} with {part}s; there are: {', '.join(fields)}")
    values = facts(resource)
    if name in getattr(kind_of(resource), REGISTRIES[part]):
        raise NotWrittenError(f"{resource} has a {part} {name} already; choose another name")
    policy = f"{resource.partition('.')[2]}-{name}"
    known_name(policy, LONGEST_POLICY)
    unused(policy)
    folder = folder or Path("policies", field)
    camel = "".join(word.capitalize() for word in name.split("-"))
    module = name.replace("-", "_")
    if folder.is_absolute() or folder.parts[0] != "policies" or len(folder.parts) < 2:
        raise NotWrittenError(
            f"{folder} is no folder below policies, where the tests look for policies"
        )
    values |= {
        "part": part,
        "name": name,
        "policy": policy,
        "class_name": camel,
        "annotation": f"c7n:{camel}",
        "right": RIGHT[part],
        "folder_parts": " / ".join(f'"{word}"' for word in folder.parts[1:]),
    }
    files = {
        Path(f"{part}s", field, f"{module}.py"): rendered(f"{part}.py", values),
        **policy_files(part, name, folder, values),
        Path("tests", f"test_{module}.py"): rendered("test.py", values),
    }
    row = f"| {part} `{name}` | {resource.partition('.')[2]} | {WHAT[part]} |"
    rows = {"element": row, "policy": policy_row(folder, name, values)}
    return written(files, readme_with(rows))


def known_name(name: str, longest: int) -> None:
    """Refuse a name that is no word of the project's."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise NotWrittenError(
            f"{name!r} is no name: words of two or more small letters or digits, joined by dashes"
        )
    if len(name) > longest:
        raise NotWrittenError(f"{name} has {len(name)} characters; at most {longest} fit")


def unused(policy: str) -> None:
    """Refuse the name of a policy that there is."""
    for file in files_of([Path("policies")] if Path("policies").is_dir() else []):
        if policy in policies_in(file):
            raise NotWrittenError(f"{file} has a policy {policy} already; choose another name")


def is_checkout() -> bool:
    """Whether the working folder is the top of this project."""
    file = Path("pyproject.toml")
    return file.is_file() and '\nname = "c7n-secops"\n' in file.read_text(encoding="utf-8")


def kind_of(resource: str) -> Any:
    """Custodian's class of a kind of resource."""
    provider, _, name = resource.partition(".")
    if provider != "aws" or not name or load_resources((resource,)):
        raise NotWrittenError(f"no resource {resource}; custodian schema aws lists what there is")
    return clouds["aws"].resources[name]


def facts(resource: str) -> dict[str, Any]:
    """What the templates know of a kind of resource."""
    model = kind_of(resource).resource_type
    kind = resource.partition(".")[2].replace("-", " ")
    found = examples(resource, str(model.id), getattr(model, "arn", None))
    return {
        "resource": resource,
        "kind": kind[0].upper() + kind[1:],
        "account": ACCOUNT,
        "region": REGION,
        **found._asdict(),
    }


def examples(resource: str, id_key: str, arn_key: Any) -> Examples:
    rows = []
    for number in range(1, 5):
        name = f"example-{number}"
        row = {id_key: name}
        if isinstance(arn_key, str) and arn_key != id_key:
            row[arn_key] = f"arn:aws:{resource.partition('.')[2]}:{REGION}:{ACCOUNT}:{name}"
        rows.append(row)
    config = Config.empty(account_id=ACCOUNT, region=REGION, regions=[REGION])
    manager = Policy({"name": "examples", "resource": resource}, config).resource_manager
    try:
        arns = manager.get_arns(rows)
    except REFUSALS as error:
        raise NotWrittenError(
            f"Custodian knows no ARN of {resource}: start from another's source"
        ) from error
    return Examples(rows, [row[id_key] for row in rows], arns)


def policy_files(
    template: str, name: str, folder: Path, values: Mapping[str, Any]
) -> dict[Path, str]:
    return {
        folder / f"{name}.yml": rendered(f"{template}.yml", values),
        folder / "tests" / f"{name}.yml": rendered(f"{template}.case.yml", values),
    }


def rendered(template: str, values: Mapping[str, Any]) -> str:
    environment = Environment(  # noqa: S701  (Python and YAML, no HTML; names are checked)
        loader=PackageLoader("c7n_secops_tools.authoring"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.jinja").render(values)


def policy_row(folder: Path, name: str, values: Mapping[str, Any]) -> str:
    file = folder / f"{name}.yml"
    return f"| [{file.name}]({file.as_posix()}) | a tag of {values['resource']} |"


def readme_with(rows: Mapping[str, str]) -> dict[Path, str]:
    """The README with a row at the end of each table."""
    file = Path("README.md")
    lines = file.read_text(encoding="utf-8").splitlines()
    for table, row in rows.items():
        starts = [number for number, line in enumerate(lines) if line.startswith(TABLES[table])]
        if not starts:
            raise NotWrittenError(f"{file} has no table that begins with {TABLES[table]}")
        end = next(
            (n for n in range(starts[0], len(lines)) if not lines[n].startswith("|")), len(lines)
        )
        lines.insert(end, row)
    return {file: "\n".join(lines) + "\n"}


def written(files: Mapping[Path, str], changed: Mapping[Path, str]) -> list[Path]:
    """Write the files, none of which may be there, and those that are changed."""
    there = [str(file) for file in files if file.exists()]
    if there:
        raise NotWrittenError(f"{', '.join(there)}: there already; choose another name")
    for file, text in {**files, **changed}.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [*files, *changed]
