"""The report, on trees that Custodian's own output code writes."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import boto3
import pytest
from c7n.config import Config
from c7n.policy import Policy
from c7n.resources import load_resources
from c7n.utils import dumps
from rich.console import Console

from c7n_secops_inspector import SEVERITIES
from c7n_secops_tools.report import charts, evidence, page, tables, terminal, tree
from c7n_secops_tools.report.totals import ROWS, TOP, Report

EVENTS = Path(__file__).parent / "events"


class Tree:
    """Writes the output of policies through Custodian's execution context."""

    def __init__(self, folder: Path):
        self.folder = folder

    @contextmanager
    def run(
        self,
        name: str = "patch",
        account: str = "222222222222",
        region: str = "eu-west-1",
        under: str = "",
        actions: list[Any] | None = None,
        mode: dict[str, Any] | None = None,
        dryrun: bool = False,
        resource: str = "aws.ec2",
    ) -> Iterator[Callable[[str, Any], None]]:
        """Open a policy's output, yield what writes a file into it, and close it."""
        load_resources((resource,))
        data: dict[str, Any] = {"name": name, "resource": resource, "actions": actions or []}
        if mode:
            data["mode"] = mode
        options = Config.empty(
            output_dir=str(self.folder / under),
            account_id=account,
            region=region,
            dryrun=dryrun,
            cache=None,
        )
        policy = Policy(data, options, session_factory=lambda *_, **__: boto3.Session())
        with policy.ctx as ctx:
            yield lambda file, value: ctx.output.write_file(file, dumps(value, indent=2))

    def report(self) -> Report:
        return Report([self.folder])


@pytest.fixture
def output(tmp_path: Path) -> Tree:
    folder = tmp_path / "out"
    folder.mkdir()
    return Tree(folder)


def finding(number: int = 0, severity: str = "CRITICAL", **changes: Any) -> dict[str, Any]:
    """The finding of the recorded event, as another one."""
    event = json.loads((EVENTS / "inspector2-ec2-package-closed-2024.json").read_text())
    return {
        **event["detail"],
        "findingArn": f"arn:aws:inspector2:eu-west-1:222222222222:finding/{number}",
        "severity": severity,
        **changes,
    }


def instance(number: int = 0, findings: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "InstanceId": f"i-{number:017x}",
        "Tags": [{"Key": "Name", "Value": f"web-{number}"}],
        **({evidence.FINDINGS: findings} if findings else {}),
    }


def refusal(number: int = 0, reason: str = "not allowed", **changes: Any) -> dict[str, Any]:
    return {
        "policy": "patch",
        "element": "filter:inspector-finding",
        "resource": f"i-{number:017x}",
        "code": "AccessDeniedException",
        "reason": reason,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **changes,
    }


def printed(report: Report) -> str:
    console = Console(width=200, force_terminal=True, color_system="truecolor")
    with console.capture() as capture:
        terminal.show(report, console)
    return capture.get()


def html_of(report: Report, folder: Path) -> str:
    path = folder / "report.html"
    page.write(report, path)
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """The elements and the texts of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# reading the tree


def test_a_run_says_its_policy_account_region_and_counts(output: Tree) -> None:
    with output.run(actions=[{"type": "ssm-patch"}]) as write:
        write("resources.json", [instance(n) for n in range(5)])
        write(
            "action-ssm-patch",
            {
                "results": [
                    {"InstanceId": instance(0)["InstanceId"], "outcome": "sent"},
                    {"InstanceId": instance(1)["InstanceId"], "outcome": "succeeded"},
                    {"InstanceId": instance(2)["InstanceId"], "outcome": "skipped"},
                    {"InstanceId": instance(3)["InstanceId"], "outcome": "failed"},
                    {"InstanceId": instance(4)["InstanceId"], "outcome": "not-evaluated"},
                    {"InstanceId": instance(5)["InstanceId"], "outcome": "not-evaluated"},
                ],
                "counts": {},
            },
        )
        write("not-evaluated.json", [refusal(4), refusal(7)])
    (line,) = output.report().lines
    run = line.run
    assert (run.policy, run.account, run.region) == ("patch", "222222222222", "eu-west-1")
    assert (run.resource, run.state, run.actions) == ("aws.ec2", "ran", ("ssm-patch",))
    assert (line.matched, line.changed, line.skipped, line.failed) == (5, 2, 1, 1)
    assert line.not_evaluated == 3, "instance 4 is in both files and counts once"


def test_c7n_org_trees_give_the_name_of_the_account(output: Tree) -> None:
    with output.run(under="production/eu-west-1") as write:
        write("resources.json", [])
    (line,) = output.report().lines
    assert (line.run.account_name, line.run.account) == ("production", "222222222222")
    assert "production 222222222222" in printed(output.report())


def test_trees_copied_from_s3_are_read(output: Tree) -> None:
    with output.run(under="production/eu-west-1") as write:
        write("resources.json", [instance()])
        write("not-evaluated.json", [refusal(3)])
    folder = output.folder / "production/eu-west-1/patch"
    hour = folder / "2026/01/31/12"
    hour.mkdir(parents=True)
    for file in [path for path in folder.iterdir() if path.is_file()]:
        with gzip.open(hour / f"{file.name}.gz", "wb") as packed:
            packed.write(file.read_bytes())
        file.unlink()
    (line,) = output.report().lines
    assert (line.matched, line.not_evaluated, line.run.account_name) == (1, 1, "production")


def test_folders_given_twice_count_once(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    assert len(Report([output.folder, output.folder / "patch"]).lines) == 1


def test_ids_are_those_of_the_kind_of_resource(output: Tree) -> None:
    with output.run(resource="aws.lambda") as write:
        write("resources.json", [{"FunctionName": "f", "Name": "no"}])
    with output.run(name="other", resource="ec2") as write:
        write("resources.json", [{"InstanceId": "i-1", "Name": "no"}])
    assert {resource.id for resource in output.report().gravest} == {"f", "i-1"}


def test_resources_of_a_kind_that_is_not_known_are_still_told_apart(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [{"Odd": 1}, {"Odd": 2}, {"Odd": 2}, instance()])
    (output.folder / "patch/metadata.json").unlink()
    report = output.report()
    assert report.matched == 3
    assert "i-00000000000000000" in {resource.id for resource in report.gravest}


# what became of a run


def test_an_exception_in_a_policy_is_a_failed_run_with_its_reason(output: Tree) -> None:
    with pytest.raises(RuntimeError), output.run():
        raise RuntimeError("the role has no access")
    (line,) = output.report().lines
    assert (line.run.state, line.run.error) == ("failed", "RuntimeError: the role has no access")
    assert line.matched is None, "an absence is not a zero"


def test_a_run_without_metadata_was_stopped(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    (output.folder / "patch/metadata.json").unlink()
    (line,) = output.report().lines
    assert line.run.state == "failed"
    assert "stopped before its end" in line.run.error
    assert (line.run.policy, line.matched) == ("patch", 1)


def test_a_run_without_resources_failed_though_no_metric_says_so(output: Tree) -> None:
    with output.run():
        pass
    (line,) = output.report().lines
    assert (line.run.state, "no resources.json" in line.run.error) == ("failed", True)


def test_a_deployed_policy_is_not_a_failed_one(output: Tree) -> None:
    with output.run(mode={"type": "cloudtrail", "events": ["RunInstances"]}):
        pass
    (line,) = output.report().lines
    assert (line.run.state, line.run.error) == ("deployed", "")


def test_a_policy_that_ran_in_its_function_is_not_called_deployed(output: Tree) -> None:
    with output.run(mode={"type": "cloudtrail", "events": ["RunInstances"]}) as write:
        write("resources.json", [])
    assert output.report().lines[0].run.state == "ran"


def test_a_dry_run_changed_nothing(output: Tree) -> None:
    with output.run(actions=["stop"], dryrun=True) as write:
        write("resources.json", [instance()])
    (line,) = output.report().lines
    assert (line.run.state, line.changed) == ("dry run", 0)


@pytest.mark.parametrize(
    "written", [None, [{"Command": {"CommandId": "c"}}], {"key": "value"}, [1], "text"]
)
def test_actions_that_do_not_say_what_they_changed_count_as_unknown(
    output: Tree, written: Any
) -> None:
    with output.run(actions=["send-command"]) as write:
        write("resources.json", [instance()])
        if written is not None:
            write("action-send-command", written)
    report = output.report()
    assert (report.lines[0].changed, report.problems) == (None, [])


def test_an_outcome_that_is_not_known_counts_as_failed(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
        write("action-x", [{"InstanceId": "i-1", "outcome": "vanished"}])
    assert output.report().lines[0].failed == 1


@pytest.mark.parametrize(
    ("outcome", "column"),
    [
        ("captured", "changed"),
        ("contained", "changed"),
        ("released", "changed"),
        ("partial", "failed"),
        ("skipped", "skipped"),
    ],
)
def test_what_became_of_a_case_is_counted(output: Tree, outcome: str, column: str) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
        results = [{"InstanceId": instance()["InstanceId"], "outcome": outcome}]
        write("action-quarantine-instance", {"results": results, "counts": {outcome: 1}})
    (line,) = output.report().lines
    counted = {name: getattr(line, name) for name in ("changed", "skipped", "failed")}
    assert counted == {"changed": 0, "skipped": 0, "failed": 0, column: 1}


def test_files_of_an_earlier_run_in_the_same_folder_do_not_count(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
        write("action-ssm-patch", [{"InstanceId": "i-1", "outcome": "sent"}])
        write("not-evaluated.json", [refusal(1, at="2020-01-01T00:00:00+00:00")])
    folder = output.folder / "patch"
    for file in folder.iterdir():
        os.utime(file, (1e9, 1e9))
    with output.run() as write:
        write("resources.json", [])
    (line,) = output.report().lines
    assert (line.matched, line.changed, line.not_evaluated) == (0, 0, 0)
    assert line.run.stale == {"action-ssm-patch", "not-evaluated.json"}


def test_records_of_an_earlier_run_do_not_count_even_in_a_fresh_copy(output: Tree) -> None:
    hour_ago = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat(timespec="seconds")
    with output.run() as write:
        write("resources.json", [])
        write("not-evaluated.json", [refusal(1, at=hour_ago), refusal(2)])
    assert output.report().lines[0].not_evaluated == 1


def test_files_count_though_a_copy_moved_all_their_times(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    for file in (output.folder / "patch").iterdir():
        os.utime(file, (1e9, 1e9))
    assert output.report().lines[0].matched == 1


# what cannot be read


@pytest.mark.parametrize("file", ["resources.json", "not-evaluated.json", "action-ssm-patch"])
@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'[{"n": 1' + b"1" * 5000 + b"}]"],
    ids=["cut", "empty", "not-utf8", "deep", "huge-number"],
)
def test_a_broken_file_is_named_with_its_fix_and_the_rest_is_reported(
    output: Tree, file: str, content: bytes
) -> None:
    for name in ("one", "two"):
        with output.run(name=name) as write:
            write("resources.json", [instance()])
            write("not-evaluated.json", [refusal(1)])
    broken = output.folder / "one" / file
    broken.write_bytes(content)
    report = output.report()
    (problem,) = report.problems
    assert str(broken) in str(problem)
    assert "run policy one again, or remove this file" in str(problem)
    assert report.lines[1].matched == 1


@pytest.mark.parametrize("value", [{"a": 1}, "text", 7, [1], [[]], [None]])
@pytest.mark.parametrize("file", ["resources.json", "not-evaluated.json"])
def test_a_file_of_another_form_is_unreadable_not_empty(
    output: Tree, file: str, value: Any
) -> None:
    with output.run() as write:
        write("resources.json", [])
        write(file, value)
    (problem,) = output.report().problems
    assert file in str(problem)


@pytest.mark.parametrize("content", [b"{", b"[]", b"null"])
def test_a_run_with_broken_metadata_is_failed_and_keeps_what_it_found(
    output: Tree, content: bytes
) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    (output.folder / "patch/metadata.json").write_bytes(content)
    report = output.report()
    assert (report.lines[0].run.state, report.lines[0].matched) == ("failed", 1)
    assert len(report.problems) == 1


def test_hostile_metadata_does_not_stop_the_report(output: Tree, tmp_path: Path) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    hostile: list[dict[str, Any]] = [
        {"policy": 1, "config": [], "execution": None, "metrics": {}},
        {"policy": {"name": [], "resource": "aws.no-such", "actions": [None, {}]}},
        {"execution": {"start": 1e300, "duration": -1}, "metrics": [None, 1]},
    ]
    for metadata in hostile:
        (output.folder / "patch/metadata.json").write_text(json.dumps(metadata))
        (output.folder / "patch/resources.json").touch()
        report = output.report()
        assert report.lines[0].matched == 1
        assert printed(report)
        assert "i-00000000000000000" in html_of(report, tmp_path)


def test_a_compressed_file_cut_short_is_unreadable(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
    plain = output.folder / "patch/resources.json"
    plain.with_name("resources.json.gz").write_bytes(gzip.compress(plain.read_bytes())[:-9])
    plain.unlink()
    assert "resources.json.gz" in str(output.report().problems[0])


# findings


def test_severities_are_inspectors() -> None:
    assert set(evidence.RANKED) == set(SEVERITIES)


def test_a_finding_that_two_policies_match_counts_once(output: Tree) -> None:
    for name, under in (("one", ""), ("two", "production/eu-west-1")):
        with output.run(name=name, under=under) as write:
            own = finding(3, "HIGH") if under else finding(4, "LOW")
            write("resources.json", [instance(0, [finding(1), finding(2, "HIGH"), own])])
    report = output.report()
    assert report.severities == {"CRITICAL": 1, "HIGH": 2, "LOW": 1}
    assert report.matched == 1
    (resource,) = report.gravest
    assert resource.severities == report.severities
    assert [found.severity for found in resource.findings] == ["CRITICAL", "HIGH", "HIGH", "LOW"]
    assert resource.policies == ["one", "two"]
    assert resource.account == "production 222222222222"


def test_the_same_id_in_two_accounts_is_two_resources(output: Tree) -> None:
    for account in ("111111111111", "222222222222"):
        with output.run(account=account, under=f"{account}/eu-west-1") as write:
            write("resources.json", [instance(0, [finding(1)])])
    assert output.report().matched == 2


def test_the_gravest_resources_and_findings_come_first(output: Tree) -> None:
    likely = {"epss": {"score": 0.9}}
    with output.run() as write:
        write(
            "resources.json",
            [
                instance(1),
                instance(2, [finding(n, "HIGH") for n in range(3)]),
                instance(3, [finding(10, "LOW"), finding(11)]),
                instance(4, [finding(20, "MEDIUM"), finding(21, **likely)]),
            ],
        )
    gravest = output.report().gravest
    assert [resource.name for resource in gravest] == ["web-4", "web-3", "web-2", "web-1"]
    assert [found.severity for found in gravest[1].findings] == ["CRITICAL", "LOW"]


def test_a_finding_shows_what_a_reader_decides_by() -> None:
    (found,) = evidence.findings(
        instance(0, [finding(1, exploitAvailable="YES", epss={"score": 0.97})])
    )
    assert (found.cve, found.severity, found.packages) == (
        "CVE-2024-29069",
        "CRITICAL",
        "snapd 2.63",
    )
    assert (found.fixed_in, found.epss, found.exploit) == ("0:2.63+22.04ubuntu0.1", 0.97, True)
    assert found.link.startswith("https://people.canonical.com/")


@pytest.mark.parametrize(
    ("annotations", "line"),
    [
        ({"c7n:InspectorCoverage": []}, "Inspector coverage: none"),
        (
            {"c7n:InspectorCoverage": [{"scanStatus": {"reason": "NO_INVENTORY"}}]},
            "Inspector coverage: NO_INVENTORY",
        ),
        ({"c7n:SsmAgent": {"absent": True}}, "SSM agent absent"),
        (
            {"c7n:SsmAgent": {"PingStatus": "Online", "AgentVersion": "3.1.0.0"}},
            "SSM agent Online; version 3.1.0.0",
        ),
        (
            {"c7n:SsmPatchState": {"MissingCount": 0, "InstalledPendingRebootCount": 2}},
            "patches missing: 0; reboot pending for: 2",
        ),
        ({"c7n:SsmPatchState": 7, "c7n:SsmAgent": [], "c7n:InspectorCoverage": "x"}, ""),
        ({}, ""),
    ],
)
def test_the_evidence_of_other_filters_is_one_line(annotations: Any, line: str) -> None:
    assert evidence.other(annotations) == line


# memory


def test_ten_thousand_findings_over_twenty_runs_need_the_memory_of_one_run(
    output: Tree, tmp_path: Path
) -> None:
    text = dumps([instance(n, [finding(n * 25 + k) for k in range(25)]) for n in range(20)])
    for number in range(20):
        folder = output.folder / f"account-{number}/eu-west-1/patch"
        folder.mkdir(parents=True)
        shifted = text.replace("finding/", f"finding/{number}-")
        (folder / "resources.json").write_text(shifted)
        (folder / "metadata.json").write_text(
            dumps({"policy": {"name": "patch", "resource": "aws.ec2"}})
        )
    small = Tree(tmp_path / "small")
    with small.run() as write:
        write("resources.json", [instance(0, [finding(0)])])
    html_of(small.report(), tmp_path)  # so that all that a page needs is loaded
    tracemalloc.start()
    json.loads(text)
    one_run = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    report = output.report()
    adding = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    some = Report(output.folder / f"account-{number}" for number in range(4))
    page.write(some, tmp_path / "report.html")
    writing = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.severities["CRITICAL"] == 10_000
    assert report.matched == 400
    assert max(adding, writing) < 4 * one_run, f"{adding:,}, {writing:,}, one run {one_run:,}"


def test_more_resources_than_are_shown_are_counted_and_the_page_says_so(
    output: Tree, tmp_path: Path
) -> None:
    grave = instance(9999, [finding(k + 10_000) for k in range(TOP + 3)])
    found = [grave, *(instance(n, [finding(n, "LOW")]) for n in range(2 * ROWS + 5))]
    with output.run() as write:
        write("resources.json", found)
    report = output.report()
    assert report.matched == 2 * ROWS + 6
    assert len(report.gravest) == ROWS
    assert report.gravest[0].name == "web-9999"
    text = html_of(report, tmp_path)
    assert f"The {ROWS} gravest of {2 * ROWS + 6:,}" in text
    assert "and 3 more" in text


# the page

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e{{ 7*7 }}"


def own_parts() -> list[charts.Script | charts.Style]:
    """What the page holds for the browser to obey."""
    own = (Path(page.__file__).parent / "templates/page.css").read_text()
    return [
        tables.style(),
        charts.Style(own),
        tables.bundle(),
        tables.sorting(),
        charts.bundle(),
        charts.drawing(),
    ]


def hostile_tree(output: Tree) -> None:
    with output.run(under="<b>prod/eu-west-1", actions=["ssm-patch"]) as write:
        broken = finding(
            1,
            title=HOSTILE,
            packageVulnerabilityDetails={
                "vulnerabilityId": HOSTILE,
                "sourceUrl": "javascript:alert(3)",
                "vulnerablePackages": [{"name": HOSTILE, "version": 7}, None],
            },
            epss={"score": "high"},
        )
        odd = instance(0, [broken, None, "text", finding(2, severity="<i>")])  # type: ignore[list-item]
        odd["Tags"] = [{"Key": "Name", "Value": HOSTILE}, "text"]
        odd["c7n:SsmAgent"] = {"PingStatus": HOSTILE}
        write("resources.json", [odd])
        write("not-evaluated.json", [refusal(1, HOSTILE, code=HOSTILE, resource=HOSTILE)])
        write(
            "action-ssm-patch",
            [{"InstanceId": HOSTILE, "outcome": HOSTILE, "reason": HOSTILE, "CommandId": HOSTILE}],
        )


def test_hostile_text_stays_text_in_the_page(output: Tree, tmp_path: Path) -> None:
    hostile_tree(output)
    text = html_of(output.report(), tmp_path)
    parsed = Page(text)
    names = {name for name, _ in parsed.tags}
    assert not names & {"img", "i-", "b>prod", "iframe", "form"}
    assert not [a for _, attributes in parsed.tags for a in attributes if a.startswith("on")]
    for part in own_parts():
        assert part.text in text
        text = text.replace(part.text, "")
    assert text.count("<style>") == text.count("</style>") == 2
    assert not re.findall(r"<script[^>]*>(?!</script>)", text)
    found = re.search(r"(\d+) findings on resources that matched have no form", text)
    assert found
    assert int(found[1]) == 4, "what is no finding is counted too"
    assert "javascript:" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "49" not in html.unescape(text).split("alert(2)>", 1)[1][:40], "no template ran"
    assert any("<script>alert(1)</script>" in piece for piece in parsed.text), "it is shown"


def test_hostile_text_moves_no_cursor_and_starts_no_markup(output: Tree) -> None:
    hostile_tree(output)
    with output.run(name="two") as write:
        write("resources.json", [])
        write("not-evaluated.json", [refusal(1, "[red]as is[/red] [/]")])
    text = printed(output.report())
    assert "\x1b[31m\u202e" not in text
    assert "\u202e" not in text
    assert "[red]as is[/red] [/]" in text


def test_the_page_needs_nothing_else_and_allows_only_its_own_style(
    output: Tree, tmp_path: Path
) -> None:
    with output.run() as write:
        write("resources.json", [instance(0, [finding(1)])])
    text = html_of(output.report(), tmp_path)
    parsed = Page(text)
    (policy,) = [
        meta["content"] or ""
        for meta in parsed.attributes("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    parts = own_parts()
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy
    assert policy == charts.content_security_policy(parts)
    loading = {"link", "img", "iframe", "object", "source"}
    assert not loading & {name for name, _ in parsed.tags}
    assert not [a for _, attributes in parsed.tags for a in attributes if a in ("src", "style")]
    for part in parts:
        if isinstance(part, charts.Style):
            assert not re.findall(r"url\((?!data:image/png)|@import", part.text)


def test_the_page_has_every_section_of_the_run(output: Tree, tmp_path: Path) -> None:
    with output.run(under="production/eu-west-1", actions=["ssm-patch"]) as write:
        write("resources.json", [instance(0, [finding(1), finding(2, "HIGH")]), instance(1)])
        write(
            "action-ssm-patch",
            {
                "results": [
                    {
                        "InstanceId": instance(0)["InstanceId"],
                        "outcome": "sent",
                        "CommandId": "c-1",
                    },
                    {
                        "InstanceId": instance(1)["InstanceId"],
                        "outcome": "skipped",
                        "code": "no-agent",
                        "reason": "no agent registered",
                    },
                ],
                "counts": {},
            },
        )
        write("not-evaluated.json", [refusal(n, "inspector2 refused") for n in range(20)])
    with pytest.raises(RuntimeError), output.run(name="broken"):
        raise RuntimeError("boom")
    text = " ".join(" ".join(Page(html_of(output.report(), tmp_path)).text).split())
    for expected in (
        "2 resources matched",
        "1 critical findings",
        "1 policy runs failed",
        "RuntimeError: boom",
        "no-agent no agent registered",
        "c-1",
        "AccessDeniedException inspector2 refused",
        "and 8 more",
        "CVE-2024-29069",
        "EPSS 0.000",
        "production 222222222222",
    ):
        assert expected in text, expected


def test_an_interrupted_page_leaves_the_one_before(
    output: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with output.run() as write:
        write("resources.json", [instance()])
        write("action-a", [{"InstanceId": "i", "outcome": "sent"}])
    report = output.report()
    before = html_of(report, tmp_path)
    shutil.rmtree(output.folder / "patch")
    report.lines[0].run.files["action-a"] = tmp_path / "missing"
    with pytest.raises(FileNotFoundError):
        page.write(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_json_has_what_the_tables_have(output: Tree) -> None:
    with output.run() as write:
        write("resources.json", [instance(0, [finding(1)])])
        write("not-evaluated.json", [refusal(1), refusal(2)])
    data = json.loads(json.dumps(terminal.as_json(output.report())))
    assert data["totals"]["not_evaluated"] == 2
    assert data["severities"]["CRITICAL"] == 1
    assert data["runs"][0]["reasons"] == [
        {
            "element": "filter:inspector-finding",
            "code": "AccessDeniedException",
            "reason": "not allowed",
            "resources": 2,
        }
    ]


def test_nothing_under_a_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/notes.txt").write_text("x")
    assert list(tree.find([tmp_path])) == []
