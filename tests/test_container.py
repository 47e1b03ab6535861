"""The image's Dockerfile, and the reusable workflow: checked by the tools made for them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from c7n_secops_tools.fleet.command import org
from tests.harness import ROOT, environ, run_cli

WORKFLOW = ROOT / ".github" / "workflows" / "policies.yml"


@pytest.mark.parametrize(
    "words",
    [
        ("hadolint", ROOT / "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW),
        ("zizmor", "--offline", "--no-progress", "--persona=auditor", WORKFLOW),
    ],
    ids=["dockerfile", "workflow", "what-an-attacker-could-do-in-it"],
)
def test_a_linter_finds_nothing(words: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = run_cli(*words, cwd=tmp_path, env=environ(None))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_s_context_holds_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        source, target = ROOT / name, context / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(context)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(file.relative_to(ROOT / "src")) for file in ROOT.glob("src/**/*.py")}
    assert sources <= names
    assert {"c7n_secops.pth", "_c7n_secops_boot.py"} <= names


def steps() -> list[tuple[str, dict[str, Any]]]:
    """The jobs' names and their steps."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return [(name, step) for name, job in jobs.items() for step in job["steps"]]


def test_the_workflow_calls_commands_that_there_are() -> None:
    called = set()
    for _, step in steps():
        text = step.get("run", "").replace("\\\n", " ")
        for line in re.findall(r"c7n-secops org ([^|)\n]+)", text):
            words = shlex.split(line)
            name, group = words.pop(0), org
            if name == "functions":
                group, name = group.commands[name], words.pop(0)  # type: ignore[assignment]
            words = [str(WORKFLOW) if word.endswith(".json") else word for word in words]
            group.commands[name].make_context(name, words)
            called.add(name)
    assert called == {"units", "run", "diff", "drift"}


def test_only_a_job_that_waits_for_reviewers_can_change_anything() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    dry, run = jobs["dry-run"], jobs["run"]
    assert (run["needs"], run["environment"]) == ("dry-run", "${{ inputs.environment }}")
    assert "environment" not in dry
    for job, step in steps():
        if "org run" in step.get("run", ""):
            assert ("--dryrun" in step["run"]) == (job == "dry-run")
    assert all("id-token" not in job["permissions"] for job in (jobs["check"],))
