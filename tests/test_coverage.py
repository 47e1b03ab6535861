"""``c7n-secops coverage``: what is checked, what is not, and what does not exist."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner

from c7n_secops_tools.coverage.command import coverage
from tests.cis_scene import PACK


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(coverage, list(arguments))
    return result.exit_code, result.output


def test_every_control_of_both_versions_is_accounted_for() -> None:
    code, output = run(str(PACK))
    assert code == 0
    assert "cis-aws-5.0.0: 63/63 accounted for" in output
    assert "cis-aws-3.0.0: 62/62 accounted for" in output


def pack(folder: Path, **control: object) -> str:
    entry = {"title": "Something", "controls": {"own-1/1.1": 1}, "check": "policy", **control}
    declared = {"benchmarks": {"own-1": {"name": "Own", "controls": 1}}, "controls": [entry]}
    (folder / "controls.yml").write_text(yaml.safe_dump({"vars": declared, "policies": []}))
    return str(folder)


def cite(folder: Path, control: str) -> None:
    policy = {"name": "p", "resource": "aws.ec2", "metadata": {"controls": [control]}}
    (folder / "policies.yml").write_text(yaml.safe_dump({"policies": [policy]}))


def test_a_control_without_a_policy_is_missing(tmp_path: Path) -> None:
    code, output = run(pack(tmp_path))
    assert (code, "own-1: 0/1 accounted for" in output) == (1, True)


def test_a_citation_of_no_control_is_named(tmp_path: Path) -> None:
    folder = pack(tmp_path, check="manual", reason="nobody can")
    cite(tmp_path, "own-1/9.9")
    code, output = run(folder, "--format", "json")
    assert (code, json.loads(output)["unknown"]) == (1, {"own-1/9.9": ["p"]})


def test_a_manual_control_needs_a_reason(tmp_path: Path) -> None:
    code, output = run(pack(tmp_path, check="manual"))
    assert (code, "'reason' is a required property" in output) == (1, True)


def test_markdown_is_one_row_a_control(tmp_path: Path) -> None:
    cite(tmp_path, "own-1/1.1")
    code, output = run(pack(tmp_path), "--benchmark", "own-1", "--format", "markdown")
    assert (code, "| 1.1 | 1 | covered | Something | p |" in output) == (0, True)


def test_an_unknown_benchmark_is_refused(tmp_path: Path) -> None:
    code, output = run(pack(tmp_path), "--benchmark", "other")
    assert (code, "there are: own-1" in output) == (1, True)
