"""``c7n-secops new``: what it writes passes what the project asks of everything else."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from c7n_secops_tools.authoring.new import new
from c7n_secops_tools.cases.command import test as run_cases
from hatch_build import CustomBuildHook
from tests.harness import ROOT, environ, run_cli

LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
PARTS = ("src", "filters", "actions", "policies", "tests", "docs", "deploy", "demo", "benchmarks")
FILES = (
    "pyproject.toml",
    "Makefile",
    "hatch_build.py",
    "accounts.yml",
    *ROOT.glob("*.md"),
    "LICENSE",
)


def written(*words: str) -> Result:
    return CliRunner().invoke(new, words)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this tree, which is the working folder."""
    top = tmp_path / "checkout"
    for part in PARTS:
        shutil.copytree(ROOT / part, top / part, ignore=LEFT_OUT)
    for file in FILES:
        shutil.copy(ROOT / file, top)
    monkeypatch.chdir(top)
    return top


def test_a_new_element_and_policy_pass_the_project_s_own_checks(checkout: Path) -> None:
    before = {path for path in checkout.rglob("*") if path.is_file()}
    own = ("--folder", "policies/own")
    for words in (
        (
            "filter",
            "tags-that-are-wanted-of-all-there-is-now",
            "--resource",
            "aws.ec2",
            "--field",
            "ssm",
        ),
        ("action", "tag-again", "--resource", "aws.iam-user", "--field", "membership", *own),
        ("policy", "rds-nobody-owns", "--resource", "aws.rds", *own),
    ):
        done = written(*words)
        assert done.exit_code == 0, done.output
    python = [
        *(
            "filters/ssm/tags_that_are_wanted_of_all_there_is_now.py",
            "tests/test_tags_that_are_wanted_of_all_there_is_now.py",
        ),
        *("actions/membership/tag_again.py", "tests/test_tag_again.py"),
    ]
    assert {str(path.relative_to(checkout)) for path in checkout.rglob("*.*")} >= set(python)
    assert len({path for path in checkout.rglob("*") if path.is_file()} - before) == 10

    CustomBuildHook(str(checkout), {}, None, None, str(checkout), "wheel").link_package(
        checkout / "build" / "dev"
    )
    places = os.pathsep.join(map(str, (checkout / "build" / "dev", checkout)))
    env = {**environ(None), "PYTHONPATH": places}
    for words in (
        ("ruff", "check", *python),
        ("ruff", "format", "--check", *python),
        (sys.executable, "-m", "mypy", *python[::2]),
    ):
        done = run_cli(*words, cwd=checkout, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    names = [Path(file).stem.removeprefix("test_") for file in python]
    chosen = [*names, *(name.replace("_", "-") for name in names), "nobody-owns"]
    chosen += ["in_the_readme", "link", "registered", "no_two"]
    done = run_cli(
        *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
        *("-k", " or ".join(chosen)),
        *("tests/test_elements.py", "tests/test_docs.py", *python[1::2]),
        cwd=checkout,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 60, "the checks of elements were run on both"


def test_a_new_policy_works_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("of somebody else")
    done = written("policy", "ec2-nobody-owns", "--resource", "aws.ec2")
    assert done.exit_code == 0, done.output
    assert done.output == (
        "wrote policies/ec2-nobody-owns.yml\n"
        "wrote policies/tests/ec2-nobody-owns.yml\n"
        "Then: c7n-secops test policies/ec2-nobody-owns.yml\n"
    )
    assert (tmp_path / "README.md").read_text() == "of somebody else"
    checked = CliRunner().invoke(run_cases, ["--mutate"])
    assert checked.exit_code == 0, checked.output
    assert "3 mutants noticed, 0 survived" in checked.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("policy", "Upper-case", "--resource", "aws.ec2"), "is no name"),
        (("policy", "../up", "--resource", "aws.ec2"), "is no name"),
        (("policy", "x" * 55, "--resource", "aws.ec2"), "at most 54"),
        (("policy", "import", "--resource", "aws.ec2"), "is no name"),
        (("policy", "ec2-x1", "--resource", "aws.nosuch"), "no resource aws.nosuch"),
        (("policy", "ec2-x1", "--resource", "gcp.instance"), "no resource gcp.instance"),
        (
            ("filter", "some-filter", "--resource", "aws.ec2", "--field", "ssm"),
            "is no checkout of c7n-secops",
        ),
    ],
)
def test_bad_input_writes_nothing(
    words: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = written(*words)
    assert done.exit_code == 1
    assert reason in done.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("policy", "ec2-nobody-owns", "--resource", "aws.ec2")
    assert written(*words).exit_code == 0
    again = written(*words, "--folder", "policies/other")
    assert again.exit_code == 1
    assert "policies/ec2-nobody-owns.yml has a policy ec2-nobody-owns already" in again.output
    assert not (tmp_path / "policies" / "other").exists()
    file = tmp_path / "policies" / "ec2-nobody-owns.yml"
    file.write_text("mine")
    again = written(*words)
    assert again.exit_code == 1
    assert "there already" in again.output
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("ssm-agent", "--field", "ssm"), "aws.ec2 has a filter ssm-agent already"),
        (("metrics", "--field", "ssm"), "aws.ec2 has a filter metrics already"),
        (("new-one", "--field", "nosuch"), "no field nosuch with filters; there are: compliance,"),
        (("new-one", "--field", "ssm", "--folder", "other"), "is no folder below policies"),
    ],
)
def test_an_element_that_does_not_fit_is_refused(
    checkout: Path, words: tuple[str, ...], reason: str
) -> None:
    before = set(checkout.rglob("*"))
    done = written("filter", *words, "--resource", "aws.ec2")
    assert done.exit_code == 1
    assert reason in done.output
    assert set(checkout.rglob("*")) == before
