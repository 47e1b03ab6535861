"""The wheel, the source distribution and the editable install hold one and the same package."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import c7n_secops
from hatch_build import START_UP, CustomBuildHook, sources
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, ROOT, environ, run_cli
from tests.inspector_data import finding, launch, sample_event
from tests.wheel import Run, install, python_build

INSIDE = """
import hashlib, json, sys
from c7n.mu import custodian_archive
from c7n.resources import load_resources
from c7n.schema import resource_vocabulary
load_resources(("aws.ec2",))
known = resource_vocabulary("aws", qualify_name=True)["aws.ec2"]
archive = custodian_archive(packages=["c7n_secops"]).close()
reader = archive.get_reader()
print(json.dumps({
    "elements": sorted(known["filters"] + known["actions"]),
    "archive": {name: hashlib.sha256(reader.read(name)).hexdigest()
                for name in archive.get_filenames()},
}))
"""
"""What an installation gives: the elements of EC2, and the files of a Lambda archive."""


def installed_names() -> set[str]:
    """The names that the package's files have once they are installed."""
    return {
        f"{target}/{file.relative_to(ROOT / source)}"
        for source, target in sources(ROOT).items()
        for file in (ROOT / source).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_what_starts_it_and_nothing_else(wheel: Path) -> None:
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert names == installed_names() | set(START_UP)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    (metadata,) = (text for name, text in contents(wheel).items() if name.endswith("/METADATA"))
    lines = metadata.decode().splitlines()
    assert "Name: c7n-secops" in lines
    assert f"Version: {c7n_secops.__version__}" in lines
    assert "Requires-Dist: c7n<0.10,>=0.9.53" in lines


def test_the_extras_that_the_documentation_names_are_there(wheel: Path) -> None:
    (metadata,) = (text for name, text in contents(wheel).items() if name.endswith("/METADATA"))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    named = {
        extra
        for page in pages
        for extras in re.findall(r"c7n-secops\[([a-z,]+)\]", page.read_text())
        for extra in extras.split(",")
    }
    assert {"fleet", "report"} <= named
    assert named <= set(re.findall(r"^Provides-Extra: (.+)$", metadata.decode(), re.MULTILINE))


def test_the_source_distribution_holds_what_a_change_needs(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        *("Makefile", "LICENSE", "README.md", "pyproject.toml", "hatch_build.py", "accounts.yml"),
        *("policies/inspector/critical-findings.yml", "tests/conftest.py", *START_UP),
    }
    assert needed <= names
    assert not [name for name in names if name.startswith(("build/", "dist/", ".venv/"))]


def test_the_wheel_is_the_same_from_the_tree_and_from_the_source_distribution(
    wheel: Path, tmp_path: Path
) -> None:
    python_build("--wheel", "--outdir", tmp_path, ROOT)
    (from_tree,) = tmp_path.glob("*.whl")
    assert contents(from_tree) == contents(wheel)


def test_wheel_and_editable_install_give_the_same_elements_and_lambda_archive(
    installed: Run, tmp_path: Path
) -> None:
    from_wheel = installed("-c", INSIDE)
    assert from_wheel.returncode == 0, from_wheel.stderr
    editable = run_cli(sys.executable, "-c", INSIDE, cwd=tmp_path, env=environ(None))
    assert editable.returncode == 0, editable.stderr
    assert json.loads(from_wheel.stdout) == json.loads(editable.stdout)
    assert "inspector-finding" in json.loads(from_wheel.stdout)["elements"]


def test_the_wheel_is_used_and_not_the_tree(installed: Run) -> None:
    where = installed("-c", "import c7n_secops_ssm.filters as f; print(*f.__path__)")
    assert "/installed" in where.stdout
    assert str(ROOT) not in where.stdout


def test_stock_custodian_validates_with_the_installed_wheel(installed: Run) -> None:
    policy = ROOT / "policies" / "inspector" / "critical-findings.yml"
    assert installed("-m", "c7n.cli", "validate", policy).returncode == 0
    assert "- inspector-finding" in installed("-m", "c7n.cli", "schema", "mode").stdout


@pytest.mark.parametrize("flag", ["-I", "-s", "-E"])
def test_it_is_found_however_isolated_python_is(installed: Run, flag: str) -> None:
    modes = installed(flag, "-m", "c7n.cli", "schema", "mode")
    assert "- inspector-finding" in modes.stdout


def test_uninstalling_leaves_stock_custodian(wheel: Path, tmp_path: Path) -> None:
    run = install(wheel, tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "uninstall", "--quiet", "-y")
    assert run_cli(*pip, "c7n-secops", cwd=tmp_path, env=environ(None)).returncode == 0
    modes = run("-m", "c7n.cli", "schema", "mode")
    assert (modes.returncode, modes.stderr) == (0, "")
    assert "- inspector-finding" not in modes.stdout


def test_a_function_deployed_from_the_installed_wheel_works(
    emulator: Emulator, installed: Run, tmp_path: Path
) -> None:
    (hit,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    emulator.client("iam", ACCOUNT, REGION).create_role(
        RoleName="c7n-secops-lambda", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    file = tmp_path / "policy.yml"
    file.write_text(yaml.safe_dump({"policies": [POLICY]}))
    done = installed(
        *("-m", "c7n.cli", "run", "-s", tmp_path / "out", "--cache-period=0", file),
        **environ(emulator),
    )
    assert done.returncode == 0, done.stderr
    event = sample_event("inspector2-ec2-package-closed-2024.json", hit, status="ACTIVE")
    assert emulator.deliver_event(ACCOUNT, REGION, event) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "custodian-tag-on-finding")
    assert result["error"] is None, result["log"]
    tags = emulator.client("ec2", ACCOUNT, REGION).describe_tags(
        Filters=[{"Name": "resource-id", "Values": [hit]}, {"Name": "key", "Values": ["found"]}]
    )
    assert [tag["Value"] for tag in tags["Tags"]] == ["yes"]


TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
POLICY: dict[str, Any] = {
    "name": "tag-on-finding",
    "resource": "aws.ec2",
    "mode": {
        "type": "inspector-finding",
        "role": f"arn:aws:iam::{ACCOUNT}:role/c7n-secops-lambda",
    },
    "filters": ["inspector-finding"],
    "actions": [{"type": "tag", "tags": {"found": "yes"}}],
}


def test_a_new_file_is_linked_and_a_deleted_one_unlinked_by_installing_again(
    tmp_path: Path,
) -> None:
    for source in ("src/c7n_secops", "src/c7n_secops_pest", "filters/pest", "actions/pest"):
        (tmp_path / source).mkdir(parents=True)
        (tmp_path / source / "there.py").touch()
    hook = CustomBuildHook(str(tmp_path), {}, None, None, str(tmp_path), "wheel")
    farm = tmp_path / "farm"
    hook.link_package(farm)
    new = tmp_path / "filters" / "pest" / "new.py"
    new.write_text("x = 1")
    assert not (farm / "c7n_secops_pest" / "filters" / "new.py").exists()
    hook.link_package(farm)
    assert (farm / "c7n_secops_pest" / "filters" / "new.py").read_text() == "x = 1"
    new.unlink()
    hook.link_package(farm)
    assert not (farm / "c7n_secops_pest" / "filters" / "new.py").is_symlink()
    assert (farm / "c7n_secops_pest" / "actions" / "there.py").exists()
