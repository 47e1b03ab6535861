"""What helps who writes policies: problems with their places, the editor's schema, SARIF."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c7n_secops_tools.authoring.checks import RULES, check
from c7n_secops_tools.authoring.schema import schema
from c7n_secops_tools.authoring.validate import validate
from tests.harness import POLICIES, ROOT, Cli

SARIF = json.loads((ROOT / "tests" / "schemas" / "sarif-2.1.0.json").read_text())
FILES = sorted(file for file in POLICIES.rglob("*.yml") if "tests" not in file.parts)


def packages(of: str, optional: bool) -> set[str]:
    """The packages that this one requires, always or with an extra."""
    return {
        re.split(r"[^\w.-]", each)[0]
        for each in requires(of) or ()
        if ("extra ==" in each) is optional
    }


OPTIONAL = packages("c7n-secops", optional=True) - packages("c7n", optional=False)
"""The packages that only an extra brings."""
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({lacks}))
sys.argv = {words}
from c7n_secops_tools.cli import main
main()
"""
GOOD = """\
policies:
  - name: ec2-running
    resource: aws.ec2
    filters:
      - "State.Name": running
"""


def checked(*paths: Path, sarif: Path | None = None) -> Result:
    more = ("--sarif", str(sarif)) if sarif else ()
    return CliRunner().invoke(validate, [*map(str, paths), *more])


def of(log: Path) -> dict[str, Any]:
    """The one run of a SARIF file that the standard's own schema accepts."""
    data = json.loads(log.read_text())
    jsonschema.Draft4Validator(SARIF).validate(data)
    (run,) = data["runs"]
    return dict(run)


# --- validation ---------------------------------------------------------------------------------


def test_every_shipped_policy_is_valid(tmp_path: Path) -> None:
    done = checked(POLICIES, sarif=tmp_path / "x.sarif")
    assert done.exit_code == 0, done.stderr
    number = sum(len(yaml.safe_load(file.read_text())["policies"]) for file in FILES)
    assert done.stdout == f"{number} policies in {len(FILES)} files are valid\n"
    assert of(tmp_path / "x.sarif")["results"] == []


BROKEN = {
    "a key that the filter does not know": (
        (
            "filters:\n      - State.Name: running\n      - type: inspector-finding\n"
            "        severty: [CRITICAL]\n"
        ),
        ("schema", 6, "'severty' is not one of ['type', 'severity'"),
    ),
    "a filter in not that must not be there": (
        (
            "filters:\n      - State.Name: running\n      - not:\n          - and:\n"
            "              - two-person-approval\n"
        ),
        ("policy", 8, "filter:two-person-approval cannot be inside not"),
    ),
    "an action of the filter's name": (
        (
            "filters:\n      - inspector-finding\n    actions:\n      - stop\n"
            "      - type: ssm-update-agent\n        allow-downgrade: true\n"
        ),
        ("policy", 8, "action:ssm-update-agent allow-downgrade needs a version"),
    ),
    "filters that are no list": ("filters: running\n", ("structure", 2, "must use a list")),
    "a mode that is none": ("mode: {type: nosuch}\n", ("schema", 4, "nosuch")),
    "a key twice": ("filters: []\n    filters: []\n", ("yaml", 5, "found duplicate key")),
    "text that is no YAML": ("filters: [\n", ("yaml", 5, "")),
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=list(BROKEN))
def test_a_problem_says_where_it_stands(
    text: str, problem: tuple[str, int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rule, line, words = problem
    file = tmp_path / "my policies.yml"
    file.write_text(f"policies:\n  - name: ec2-broken\n    resource: aws.ec2\n    {text}")
    log = tmp_path / "x.sarif"
    done = checked(file, sarif=log)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"{re.escape(str(file))}:{line}:\d+: .* \[{rule}\]\n", done.stderr)
    assert words in done.stderr
    (result,) = of(log)["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (result["ruleId"], result["level"]) == (rule, "error")
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == (
        "my%20policies.yml",
        line,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "1:1: Policy file top level data structure should be a mapping"),
        ("policies: {}", "should be an array"),
        ("policies: []\nmore: 1", "found extra: more"),
        ("policies: [1, 2]", ":1:12: policy must be a dictionary/mapping found:int [structure]"),
        ("policies: [{name: x}]", "policy missing required keys (name, resource) [structure]"),
        ("policies: [{name: x-y, resource: aws.nosuch}]", "no resource aws.nosuch"),
        ("policies: [{name: x-y, resource: 3}]", "resource must be the name of a kind"),
        ("policies: [{name: [x], resource: ec2}]", "name must be text, found: list [structure]"),
        ("\x00", "unacceptable character"),
    ],
)
def test_a_file_of_another_form_is_a_problem_not_a_crash(
    text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "x.yml").write_text(text)
    done = checked(tmp_path)
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert words in done.stderr


LEAF = st.none() | st.booleans() | st.integers(0, 3)
LEAF |= st.sampled_from(["aws.ec2", "ec2-x", "", "inspector-finding", "{x}", "value", "periodic"])
KEYS = st.sampled_from(["type", "key", "value", "severity", "not", "tag:x", "count"])
ANY = st.recursive(
    LEAF, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part), max_leaves=6
)
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("ec2-x") | ANY,
        "resource": st.just("aws.ec2") | ANY,
        **dict.fromkeys(("filters", "actions", "mode", "query"), ANY | st.lists(ANY, max_size=2)),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({"policies": st.lists(POLICY | ANY, max_size=2) | ANY}))
def test_whatever_a_file_holds_ends_in_problems_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_text(yaml.safe_dump(data))
    for problem in check([file]).problems:
        assert problem.rule in RULES
        assert problem.place.line >= 1


def test_a_value_that_is_filled_in_later_is_no_problem(tmp_path: Path, offline_cli: Cli) -> None:
    update = {"type": "ssm-update-agent", "timeout": "{seconds}"}
    policy = {"name": "ec2-x", "resource": "aws.ec2", "actions": [update]}
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"policies": [policy]}))
    assert checked(tmp_path).exit_code == 0
    assert offline_cli("custodian", "validate", tmp_path / "x.yml").returncode == 0
    update["timeout"] = "seconds"
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"policies": [policy]}))
    assert checked(tmp_path).exit_code == 1


def test_a_name_is_one_policy_s_in_all_files_and_cases_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("a.yml", "b.yaml", "tests/a.yml"):
        (tmp_path / name).write_text(GOOD)
    done = checked(tmp_path)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{tmp_path}/b.yaml:2:5: policy:ec2-running has the name of one in ")


def test_an_empty_folder_is_bad_input_not_valid(tmp_path: Path) -> None:
    done = checked(tmp_path)
    assert done.exit_code == 1
    assert "no policy file under" in done.stderr


def test_hostile_names_are_plain_data(tmp_path: Path) -> None:
    name = "\N{RIGHT-TO-LEFT OVERRIDE}[click](https://x.invalid) {0} <script>"
    (tmp_path / "x.yml").write_text(
        yaml.safe_dump({"policies": [{"name": name, "resource": "aws.ec2"}]})
    )
    log = tmp_path / "x.sarif"
    done = checked(tmp_path / "x.yml", sarif=log)
    assert done.exit_code == 1
    text = of(log)["results"][0]["message"]["text"]
    assert r"\[click\](https://x.invalid) {{0}} <script>" in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text + done.stderr


def test_custodian_validate_and_ours_agree(offline_cli: Cli, tmp_path: Path) -> None:
    for number, (text, _) in enumerate(BROKEN.values()):
        (tmp_path / f"{number}.yml").write_text(
            f"policies:\n  - name: ec2-{number}\n    resource: aws.ec2\n    {text}"
        )
    files = [file for file in sorted(tmp_path.glob("*.yml")) if "[\n" not in file.read_text()]
    twice = next(file for file in files if file.read_text().count("filters:") == 2)
    files.remove(twice)  # there, and where it is no YAML, custodian itself ends in a traceback
    stock = offline_cli("custodian", "validate", *files)
    assert stock.returncode == 1
    invalid = re.findall(r"Configuration invalid: (\S+)", stock.stderr)
    assert {Path(name) for name in invalid} == set(files)


def test_the_hook_of_pre_commit_is_one_that_it_takes_and_that_runs(offline_cli: Cli) -> None:
    file = ROOT / ".pre-commit-hooks.yaml"
    done = offline_cli("pre-commit", "validate-manifest", file)
    assert done.returncode == 0, done.stdout + done.stderr
    (hook,) = yaml.safe_load(file.read_text())
    has = {name.partition(">")[0] for name in hook["additional_dependencies"]}
    lacks = sorted(OPTIONAL - has)
    words = [*hook["entry"].split(), *map(str, FILES[:2])]
    done = offline_cli(sys.executable, "-c", WITHOUT.format(lacks=lacks, words=words))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in 2 files are valid" in done.stdout
    chosen = [
        path
        for path in ("policies/a/b.yml", "policies/a.yaml", "policies/a/tests/b.yml", "x.yml")
        if re.search(hook["files"], path) and not re.search(hook["exclude"], path)
    ]
    assert chosen == ["policies/a/b.yml", "policies/a.yaml"]


# --- the editor's schema ------------------------------------------------------------------------


@cache
def exported(*resources: str) -> dict[str, Any]:
    options = [word for name in resources for word in ("--resource", name)]
    done = CliRunner().invoke(schema, options)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_the_schema_is_one_and_its_references_lead_somewhere() -> None:
    whole = exported()
    assert whole["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "id" not in whole
    jsonschema.Draft7Validator.check_schema(whole)
    references = set(re.findall(r'"\$ref":"(#[^"]+)"', json.dumps(whole, separators=(",", ":"))))
    assert len(references) > 1000
    for reference in references:
        node: Any = whole
        for step in reference[2:].split("/"):
            node = node[int(step)] if isinstance(node, list) else node[step]


def test_every_shipped_policy_is_valid_by_the_schema() -> None:
    validator = jsonschema.Draft7Validator(exported())
    for file in FILES:
        validator.validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"filters": [{"type": "ssm-agent", "ping-status": ["Online"]}]}, True),
        ({"filters": [{"type": "ssm-agent", "ping-state": ["Online"]}]}, False),
        ({"filters": ["no-such-filter"]}, False),
        ({"actions": ["ssm-update-agent"]}, True),
        ({"mode": {"type": "eventbridge"}}, False),
        ({"resource": "aws.s3"}, False),
    ],
)
def test_a_wrong_policy_is_not_valid_by_the_schema(change: dict[str, Any], valid: bool) -> None:
    policy = {"name": "ec2-x", "resource": "aws.ec2", **change}
    validator = jsonschema.Draft7Validator(exported("aws.ec2"))
    assert validator.is_valid({"policies": [policy]}) is valid


def test_an_editor_shows_what_an_element_does() -> None:
    elements = exported("aws.ec2")["definitions"]["resources"]["aws.ec2"]
    assert elements["filters"]["two-person-approval"]["description"] == (
        "Finds instances of which one principal asked something by tag and another approved it."
    )
    assert elements["actions"]["ssm-patch"]["description"]


def test_an_editor_shows_what_is_wrong_and_not_every_kind_of_resource() -> None:
    policy = {"name": "ec2-x", "resource": "ec2", "filters": ["ssm-agent"], "tags": 3}
    (error,) = jsonschema.Draft7Validator(exported()).iter_errors({"policies": [policy]})
    assert error.message == "3 is not of type 'array'"


def test_the_schema_goes_to_a_file_and_unknown_resources_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "policies.schema.json"
    done = CliRunner().invoke(schema, ["--resource", "aws.ec2", "-o", str(file)])
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(file.read_text()) == exported("aws.ec2")
    done = CliRunner().invoke(schema, ["--resource", "aws.nosuch"])
    assert done.exit_code == 1
    assert "no resource aws.nosuch" in done.output
    done = CliRunner().invoke(schema, ["--resource", "aws.ec2", "-o", str(tmp_path / "a" / "b")])
    assert done.exit_code == 1
    assert "cannot write" in done.output


def test_the_rules_are_those_that_problems_have() -> None:
    assert {problem[0] for _, problem in BROKEN.values()} | {"resource", "name"} == set(RULES)
