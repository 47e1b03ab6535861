"""The documentation: its links lead somewhere, its policies are valid, and it is complete."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from textwrap import dedent

import click
import pytest
import yaml
from c7n.policy import execution
from click.testing import CliRunner

from c7n_secops.registration import element_files
from c7n_secops_tools import cli
from tests.harness import POLICIES, ROOT
from tests.inspector_data import validate

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
OURS = re.compile(r"^c7n-secops +(.+?)(?: +[#>].*)?$", re.MULTILINE)
EXAMPLE = re.compile(r"code-block:: yaml\n\n((?:[ ]{4,}.*\n|\n)+)")


def blocks(language: str) -> list[tuple[Path, str]]:
    return [
        (page, dedent(text))
        for page in PAGES
        for _, found, text in FENCE.findall(page.read_text())
        if found == language
    ]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_every_policy_in_the_documentation_is_valid():
    policies = [
        policy for _, text in blocks("yaml") for policy in yaml.safe_load(text).get("policies", ())
    ]
    assert any("waf-ip-block" in str(policy) for policy in policies), "that one is in a list"
    for policy in policies:
        validate(policy)


def test_every_example_of_an_event_mode_is_valid_and_uses_it():
    ours = {name: mode for name, mode in execution.items() if mode.__module__[:10] == "c7n_secops"}
    assert len(ours) >= 2
    for name, mode in ours.items():
        shown = EXAMPLE.findall(f"{inspect.getdoc(mode)}\n")
        policies = [each for text in shown for each in yaml.safe_load(dedent(text))["policies"]]
        assert any(policy["mode"]["type"] == name for policy in policies)
        for policy in policies:
            validate(policy)


def test_every_hook_in_the_documentation_is_one_that_there_is():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    named = [
        each["id"]
        for _, text in blocks("yaml")
        for repo in yaml.safe_load(text).get("repos", ())
        for each in repo["hooks"]
    ]
    assert named == [hook["id"]]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page, line, id=f"{page.stem}: {line}")
        for page, text in blocks("shell")
        for line in OURS.findall(text.replace("\\\n", " "))
    ],
)
def test_every_command_of_ours_in_the_documentation_takes_its_options(page: Path, line: str):
    words = shlex.split(line)
    assert words[0] in cli.COMMANDS, page
    command = cli.load(words.pop(0))
    while isinstance(command, click.Group):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert options <= known, f"{page.name}: {command.name} does not take {options - known}"


def test_every_element_and_every_pack_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    missing = [f"`{e.name}`" for e in element_files() if f"`{e.name}`" not in readme]
    missing += [
        str(file)
        for file in (path.relative_to(ROOT) for path in POLICIES.rglob("*.yml"))
        if str(file) not in readme and "tests" not in file.parts
    ]
    assert missing == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"\bmake ([a-z]+)\b", page.read_text())
    }
    assert {"demo", "test"} <= named
    # "make" is an English word too: only what stands in code is a target
    in_code = {
        target
        for page in PAGES
        for code in re.findall(r"`+([^`]+)`+", page.read_text())
        for target in re.findall(r"^make\s+([a-z]+)", code.strip(), re.MULTILINE)
    }
    assert in_code <= targets


def test_every_option_of_the_command_line_is_documented():
    from c7n_secops_tools.authoring.new import new
    from c7n_secops_tools.authoring.schema import schema
    from c7n_secops_tools.authoring.validate import validate as validate_command
    from c7n_secops_tools.cases.command import test
    from c7n_secops_tools.coverage.command import coverage
    from c7n_secops_tools.fleet.command import org
    from c7n_secops_tools.fleet.functions.command import functions
    from c7n_secops_tools.ingest import build_ingest
    from c7n_secops_tools.membership.command import membership
    from c7n_secops_tools.opensearch.dashboards import dashboards
    from c7n_secops_tools.replay.command import replay
    from c7n_secops_tools.replay_logs.command import replay_logs
    from c7n_secops_tools.report.command import report

    commands = (
        build_ingest,
        coverage,
        dashboards,
        membership,
        replay,
        replay_logs,
        report,
        test,
        schema,
        validate_command,
        *new.commands.values(),
        *org.commands.values(),
        *functions.commands.values(),
    )
    help_text = "".join(CliRunner().invoke(each, ["--help"]).output for each in commands)
    documented = "".join(page.read_text() for page in PAGES)
    options = set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}
    assert options
    assert {option for option in options if option not in documented} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_stands_under_its_heading(page: Path) -> None:
    lines = ["", *page.read_text().splitlines(), ""]
    starts = [n for n, line in enumerate(lines) if line[:1] == "|" != lines[n - 1][:1]]
    assert all(lines[n + 1].startswith("|--") for n in starts)
