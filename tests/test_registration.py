"""Stock Custodian knows our elements, loads them only when needed, and survives without them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from c7n.actions import ActionRegistry
from c7n.filters import Filter, FilterRegistry
from c7n.utils import type_schema

import _c7n_secops_boot
import c7n_secops
from c7n_secops import registration
from c7n_secops.registration import element_files
from tests.harness import ROOT, Cli

LOADED = r"sorted(m for m in sys.modules if re.match(r'c7n_secops\w*\.(filters|actions)\.', m))"
STOCK_POLICY = """
policies:
  - name: stock
    resource: aws.ec2
    filters: [{"tag:owner": absent}]
"""
OUR_POLICY = """
policies:
  - name: ours
    resource: aws.ec2
    filters: [inspector-finding]
"""
Shadow = Callable[..., dict[str, str]]
Validate = Callable[..., "tuple[int, str]"]


@pytest.fixture
def shadow(tmp_path: Path) -> Shadow:
    """``shadow({"c7n_secops_ssm/filters/x.py": source})``: the environment of a changed copy."""

    def copy(changes: dict[str, str]) -> dict[str, str]:
        top = tmp_path / "shadow"
        for package in Path(c7n_secops.__file__).parents[1].glob("c7n_secops*/"):
            shutil.copytree(
                package, top / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name, source in changes.items():
            (top / name).unlink(missing_ok=True)
            (top / name).write_text(dedent(source))
        return {"PYTHONPATH": str(top)}

    return copy


@pytest.fixture
def validate(offline_cli: Cli, tmp_path: Path) -> Validate:
    """``validate(policies, **environment)`` runs ``custodian validate``: exit code and errors."""

    def run(policies: str, **environment: str) -> tuple[int, str]:
        file = tmp_path / "policies.yml"
        file.write_text(policies)
        done = offline_cli("custodian", "validate", file, **environment)
        return done.returncode, done.stderr

    return run


def python(offline_cli: Cli, source: str, *flags: str, **environment: str) -> object:
    """What the last line that a fresh interpreter prints says, as JSON."""
    done = offline_cli(sys.executable, *flags, "-c", dedent(source), **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# --- what stock commands show -------------------------------------------------------------------


def test_custodian_lists_every_element_on_every_resource_that_its_file_names(
    offline_cli: Cli,
) -> None:
    resources = sorted({name for element in element_files() for name in element.resources})
    listed = python(
        offline_cli,
        f"""
        import json
        from c7n.resources import load_resources
        from c7n.schema import resource_vocabulary
        load_resources({resources!r})
        known = resource_vocabulary("aws", qualify_name=True)
        print(json.dumps({{name: [known[name]["filters"], known[name]["actions"]]
                          for name in {resources!r}}}))
        """,
    )
    missing = [
        (resource, element.name)
        for element in element_files()
        for resource in element.resources
        if element.name not in listed[resource][element.kind == "actions"]  # type: ignore[index]
    ]
    assert element_files()
    assert missing == []


def test_custodian_schema_shows_an_element_with_its_example(offline_cli: Cli) -> None:
    done = offline_cli("custodian", "schema", "aws.ec2.filters.inspector-finding")
    assert done.returncode == 0, done.stderr
    assert "Finds the resources that have Amazon Inspector findings" in done.stdout
    assert "exploit-available" in done.stdout


def test_custodian_schema_lists_our_event_modes(offline_cli: Cli) -> None:
    done = offline_cli("custodian", "schema", "mode")
    assert {"- inspector-finding", "- eventbridge"} <= set(done.stdout.splitlines())


def test_custodian_version_is_silent_about_us(offline_cli: Cli) -> None:
    done = offline_cli("custodian", "version")
    assert (done.returncode, done.stderr) == (0, "")


# --- only when needed ---------------------------------------------------------------------------


def test_an_interpreter_that_does_not_use_custodian_imports_nothing_of_ours(
    offline_cli: Cli,
) -> None:
    loaded = python(
        offline_cli,
        "import json, sys; print(json.dumps([m for m in sys.modules if m.split('.')[0] in"
        " ('c7n', 'c7n_secops', 'boto3')]))",
    )
    assert loaded == []


@pytest.mark.parametrize("resource", [None, "aws.s3"])
def test_no_element_is_imported_before_a_resource_that_it_names(
    offline_cli: Cli, resource: str | None
) -> None:
    named = [
        element.module for element in element_files() if resource and resource in element.resources
    ]
    loaded = python(
        offline_cli,
        f"""
        import json, re, sys, c7n.policy
        from c7n.resources import load_resources
        load_resources({(resource,) if resource else ()!r})
        print(json.dumps({LOADED}))
        """,
    )
    assert loaded == sorted(named)


def test_loading_a_resource_imports_exactly_the_elements_that_name_it(offline_cli: Cli) -> None:
    loaded = python(
        offline_cli,
        f"""
        import json, re, sys
        from c7n.resources import load_resources
        load_resources(("aws.lambda",))
        print(json.dumps({LOADED}))
        """,
    )
    lambda_loads = ("aws.lambda", "aws.lambda-layer")
    assert loaded == sorted(
        {e.module for e in element_files() if set(lambda_loads) & set(e.resources)}
    )


def test_a_resource_loaded_before_us_gets_our_elements_too_and_only_once(offline_cli: Cli) -> None:
    known = python(
        offline_cli,
        """
        import json, os
        os.environ["C7N_SECOPS"] = "on"
        import c7n.policy
        from c7n.resources.aws import AWS
        from c7n.resources import load_resources
        load_resources(("aws.ec2",))
        from c7n_secops.registration import attach, register
        register()
        register()
        filters = AWS.resources["ec2"].filter_registry
        times = AWS.resources._subscribers.count(attach)
        print(json.dumps(["inspector-finding" in filters, times]))
        """,
        C7N_SECOPS="off",
    )
    assert known == [True, 1]


# --- switched off, broken, half broken ----------------------------------------------------------


def test_the_switch_leaves_stock_custodian(offline_cli: Cli, validate: Validate) -> None:
    modes = offline_cli("custodian", "schema", "mode", C7N_SECOPS="off")
    assert "- inspector-finding" not in modes.stdout.splitlines()
    code, errors = validate(STOCK_POLICY + OUR_POLICY.partition("policies:")[2], C7N_SECOPS="off")
    assert code == 1
    assert "policy:ours" in errors
    assert "could not be loaded" not in errors


@pytest.mark.parametrize(
    ("value", "on"),
    [("off", False), ("0", False), ("No", False), ("FALSE", False), ("on", True), ("", True)],
)
def test_the_switch_understands_the_usual_words(
    monkeypatch: pytest.MonkeyPatch, value: str, on: bool
) -> None:
    monkeypatch.setenv("C7N_SECOPS", value)
    assert _c7n_secops_boot.enabled() is on


@pytest.mark.parametrize(
    "module", ["c7n_secops/registration.py", "c7n_secops_inspector/modes/inspector_finding.py"]
)
def test_a_broken_installation_says_why_and_leaves_stock_policies_alone(
    validate: Validate, shadow: Shadow, module: str
) -> None:
    environment = shadow({module: "raise ImportError('no module named wonderland')"})
    code, errors = validate(STOCK_POLICY, **environment)
    assert code == 0
    assert "c7n-secops is installed but could not be loaded" in errors
    assert "no module named wonderland" in errors
    assert "C7N_SECOPS=off" in errors


def test_a_policy_that_needs_a_broken_installation_is_refused_with_the_reason(
    validate: Validate, shadow: Shadow
) -> None:
    environment = shadow(
        {"c7n_secops/registration.py": "raise ImportError('no module named wonderland')"}
    )
    code, errors = validate(OUR_POLICY, **environment)
    assert code == 1
    assert "no module named wonderland" in errors
    assert "inspector-finding" in errors


@pytest.mark.parametrize(
    "source",
    ['RESOURCES = ("aws.ec2",)\nimport wonderland', 'RESOURCES = ("aws.ec2",)\ndef broken(:'],
    ids=["import-error", "syntax-error"],
)
def test_one_broken_element_hides_no_other_and_says_why_when_used(
    validate: Validate, shadow: Shadow, source: str
) -> None:
    environment = shadow({"c7n_secops_ssm/filters/broken_one.py": source})
    assert validate(STOCK_POLICY, **environment)[0] == 0
    assert validate(OUR_POLICY, **environment)[0] == 0
    code, errors = validate(OUR_POLICY.replace("inspector-finding", "broken-one"), **environment)
    assert code == 1
    assert "policy:ours filter:broken-one could not be loaded from" in errors
    assert "wonderland" in errors or "SyntaxError" in errors
    assert "reinstall c7n-secops" in errors


def test_a_broken_action_is_named_as_an_action(validate: Validate, shadow: Shadow) -> None:
    environment = shadow(
        {"c7n_secops_ssm/actions/broken_one.py": 'RESOURCES = ("aws.ec2",)\nimport wonderland'}
    )
    policy = OUR_POLICY + "    actions: [{type: broken-one, wait: 5}]"
    code, errors = validate(policy, **environment)
    assert code == 1
    assert "policy:ours action:broken-one could not be loaded from" in errors


@pytest.mark.parametrize(
    "source",
    ["from c7n.filters import Filter\n", "RESOURCES = (nonsense)\n"],
    ids=["no-line", "not-a-literal"],
)
def test_an_element_that_does_not_say_where_it_applies_breaks_nothing_else(
    validate: Validate, shadow: Shadow, source: str
) -> None:
    environment = shadow({"c7n_secops_ssm/filters/broken_one.py": source})
    code, errors = validate(STOCK_POLICY, **environment)
    assert code == 0
    assert "broken_one" in errors
    assert validate(OUR_POLICY, **environment)[0] == 0


def test_a_file_with_two_element_classes_is_refused_by_name(
    validate: Validate, shadow: Shadow
) -> None:
    environment = shadow(
        {
            "c7n_secops_ssm/filters/two_of_them.py": """
            from c7n.filters import Filter
            from c7n_secops.element import SecOpsElement
            RESOURCES = ("aws.ec2",)
            class One(SecOpsElement, Filter):
                pass
            class Two(SecOpsElement, Filter):
                pass
            """
        }
    )
    code, errors = validate(OUR_POLICY.replace("inspector-finding", "two-of-them"), **environment)
    assert code == 1
    assert "must define exactly one element class, found 2" in errors


def test_adding_a_file_adds_an_element(
    offline_cli: Cli, validate: Validate, shadow: Shadow
) -> None:
    environment = shadow(
        {
            "c7n_secops_ssm/filters/sqs_noisy.py": """
            from c7n.filters import Filter
            from c7n.utils import type_schema
            from c7n_secops.element import SecOpsElement
            RESOURCES = ("aws.sqs",)
            class Noisy(SecOpsElement, Filter):
                '''Finds queues that are noisy.'''
                schema = type_schema("sqs-noisy", decibels={"type": "integer"})
                def process(self, resources, event=None):
                    return resources
            """
        }
    )
    policy = """
    policies:
      - name: noisy
        resource: aws.sqs
        filters: [{type: sqs-noisy, decibels: 90}]
    """
    assert validate(policy, **environment)[0] == 0
    assert validate(policy)[0] == 1
    assert validate(policy.replace("aws.sqs", "aws.sns"), **environment)[0] == 1
    shown = offline_cli("custodian", "schema", "aws.sqs.filters.sqs-noisy", **environment)
    assert "Finds queues that are noisy." in shown.stdout


# --- where .pth files are not read --------------------------------------------------------------


def without_site() -> dict[str, str]:
    """The environment of an interpreter started with ``-S``: our packages, but no ``.pth`` run."""
    found = [Path(c7n_secops.__file__).parents[1], *(p for p in sys.path if "site-packages" in p)]
    return {"PYTHONPATH": os.pathsep.join(map(str, found))}


def test_the_fallback_runs_custodian_where_pth_files_are_not_read(offline_cli: Cli) -> None:
    stock = offline_cli(sys.executable, "-S", "-m", "c7n.cli", "schema", "mode", **without_site())
    ours = offline_cli(
        sys.executable, "-S", "-m", "c7n_secops", "custodian", "schema", "mode", **without_site()
    )
    assert "- pull" in stock.stdout
    assert "- inspector-finding" not in stock.stdout
    assert "- inspector-finding" in ours.stdout


def test_the_fallback_hands_arguments_and_exit_code_through(
    offline_cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "bad.yml").write_text(OUR_POLICY.replace("inspector-finding", "no-such-filter"))
    done = offline_cli(sys.executable, "-m", "c7n_secops", "custodian", "validate", "bad.yml")
    assert done.returncode == 1
    assert "no-such-filter" in done.stderr
    assert offline_cli(sys.executable, "-m", "c7n_secops", "c7n-org", "--help").returncode == 0


@pytest.mark.parametrize("program", [[], ["pip", "list"]])
def test_the_fallback_runs_no_other_program(offline_cli: Cli, program: list[str]) -> None:
    done = offline_cli(sys.executable, "-m", "c7n_secops", *program)
    assert done.returncode == 2
    assert "usage: python -m c7n_secops (custodian | c7n-org)" in done.stderr


# --- the author's errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "{type: inspector-finding, severty: [HIGH]}",
            [
                "policy:ours",
                "'severty' is not one of ['type', 'sever",
                "keys of filter:inspector-finding",
            ],
        ),
        (
            "{type: inspector-finding, severity: [HUGE]}",
            ["policy:ours", "'HUGE' is not one of", "filter:inspector-finding severity"],
        ),
        (
            "{type: inspector-finding, epss: {gte: 1.5}}",
            [
                "policy:ours",
                "1.5 is greater than the maximum of 1",
                "filter:inspector-finding epss",
            ],
        ),
        (
            "{type: inspector-finding, count: {op: gt, valeu: 3}}",
            ["policy:ours", "'valeu'", "keys of filter:inspector-finding count"],
        ),
        (
            "{type: inspector-finding, epss: {gte: 0.9, lte: 0.1}}",
            ["policy:ours filter:inspector-finding epss", "swap them"],
        ),
    ],
    ids=[
        "unknown-key",
        "unknown-value",
        "impossible-number",
        "unknown-nested-key",
        "contradiction",
    ],
)
def test_validate_names_policy_element_key_and_fix(
    validate: Validate, wrong: str, said: list[str]
) -> None:
    code, errors = validate(OUR_POLICY.replace("inspector-finding", wrong))
    assert code == 1
    assert [part for part in said if part not in errors] == [], errors


@pytest.mark.parametrize(
    "block",
    [
        "inspector-finding",
        "{type: inspector-finding}",
        "{type: inspector-finding, severity: [LOW]}",
        "{or: [inspector-finding, {type: inspector-finding, severity: [LOW]}]}",
    ],
)
def test_validate_says_which_resources_an_element_supports(validate: Validate, block: str) -> None:
    policy = OUR_POLICY.replace("inspector-finding", block)
    code, errors = validate(policy.replace("aws.ec2", "aws.s3"))
    assert code == 1
    said = "policy:ours filter:inspector-finding does not support aws.s3; use it in a policy with"
    assert f"{said} resource aws.ec2 or aws.ecr-image or aws.lambda" in errors


def test_validate_gives_no_such_advice_about_a_stock_element(validate: Validate) -> None:
    policy = OUR_POLICY.replace("inspector-finding", "{type: bucket-logging, op: disabled}")
    code, errors = validate(policy)
    assert code == 1
    assert "does not support" not in errors


def test_the_boot_module_is_the_one_in_the_tree() -> None:
    assert Path(_c7n_secops_boot.__file__).read_text() == (ROOT / "_c7n_secops_boot.py").read_text()


def test_an_element_that_custodian_has_itself_stays() -> None:
    class Stock(Filter):
        schema = type_schema("ssm-agent")

    class Resource:
        type = "ec2"
        filter_registry = FilterRegistry("test.filters")
        action_registry = ActionRegistry("test.actions")

    Resource.filter_registry.register("ssm-agent", Stock)
    registration.attach(None, Resource)
    assert Resource.filter_registry["ssm-agent"] is Stock
    assert "ssm-patch-state" in Resource.filter_registry
    assert "ssm-patch" in Resource.action_registry
