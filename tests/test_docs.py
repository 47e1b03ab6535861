"""The documentation: its links lead somewhere, its policies are valid, and it is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from c7n_secops.registration import element_files
from tests.harness import POLICIES, ROOT
from tests.inspector_data import validate

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[Path, str]]:
    return [
        (page, text)
        for page in PAGES
        for found, text in FENCE.findall(page.read_text())
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
    assert policies
    for policy in policies:
        validate(policy)


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
    from c7n_secops_tools.coverage.command import coverage
    from c7n_secops_tools.fleet.command import org
    from c7n_secops_tools.ingest import build_ingest
    from c7n_secops_tools.membership.command import membership
    from c7n_secops_tools.opensearch.dashboards import dashboards
    from c7n_secops_tools.replay_logs.command import replay_logs
    from c7n_secops_tools.report.command import report

    commands = (
        build_ingest,
        coverage,
        dashboards,
        membership,
        replay_logs,
        report,
        schema,
        validate_command,
        *new.commands.values(),
        *org.commands.values(),
    )
    help_text = "".join(CliRunner().invoke(each, ["--help"]).output for each in commands)
    documented = "".join(page.read_text() for page in PAGES)
    options = set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}
    assert options
    assert {option for option in options if option not in documented} == set()
