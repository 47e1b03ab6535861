"""A newcomer's path, in a fresh environment into which the built wheel was installed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.harness import ACCOUNT, REGION, ROOT, environ, run_cli
from tests.wheel import Run

SCRIPTS = {"custodian": "c7n.cli", "c7n-org": "c7n_org.cli"}
EVENT_POLICY = ROOT / "policies" / "inspector" / "patch-critical-event.yml"
CASES = EVENT_POLICY.parent / "tests" / EVENT_POLICY.name
ARCHIVE = """
import json, pathlib, sys
from c7n.config import Config
from c7n.mu import PolicyLambda
from c7n_secops_tools.testing.runs import find_policy, load_policy
data = find_policy(pathlib.Path(sys.argv[1]), "ec2-patch-critical-on-finding")
policy = load_policy(data, Config.empty(regions=[sys.argv[2]], account_id=sys.argv[3]))
archive = PolicyLambda(policy).get_archive()
print(json.dumps(archive.get_filenames()))
"""


@pytest.fixture
def bin_of_wheel(installed: Run, wheel_home: Path) -> Path:
    """The wheel's own command, and those that its dependencies would have brought."""
    folder = wheel_home / "venv" / "bin"
    for name, module in SCRIPTS.items():
        script = folder / name
        script.write_text(
            f"#!{folder / 'python'}\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
            if name == "custodian"
            else f"#!{folder / 'python'}\nfrom {module} import cli\ncli()\n"
        )
        script.chmod(0o755)
    return folder


def test_a_newcomer_gets_from_the_wheel_to_a_lambda_archive(
    bin_of_wheel: Path,
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = environ(None)
    env["PATH"] = f"{bin_of_wheel}{os.pathsep}{env['PATH']}"

    def run(*words: str | Path) -> str:
        done = run_cli(bin_of_wheel / words[0], *words[1:], cwd=home, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # it is the wheel
    where = run("python", "-c", "import c7n_secops; print(c7n_secops.__file__)")
    assert str(bin_of_wheel.parent) in where

    # write a policy, validate it, test it
    run("c7n-secops", "new", "policy", "ec2-nobody-owns", "--resource", "aws.ec2")
    run("custodian", "validate", "policies/ec2-nobody-owns.yml")
    assert "1 policies in 1 files are valid" in run("c7n-secops", "validate", "policies")
    assert "1 passed, 0 failed, 3 mutants noticed" in run(
        "c7n-secops", "test", "policies", "--mutate"
    )

    # replay an event
    event = yaml.safe_load(CASES.read_text())["cases"][0]["event"]
    (home / "event.json").write_text(json.dumps(event, default=str))
    replayed = run("c7n-secops", "replay", home / "event.json", EVENT_POLICY, "--answers", CASES)
    assert "rule: matches the event" in replayed
    assert "call: ssm:SendCommand" in replayed

    # build the Lambda archive
    packed = json.loads(run("python", "-c", ARCHIVE, EVENT_POLICY.parent, REGION, ACCOUNT))
    assert {"config.json", "custodian_policy.py", "c7n_secops/handler.py"} <= set(packed)
    assert not [name for name in packed if name.startswith("c7n_secops_tools")]

    # run the demo
    monkeypatch.setattr(demo, "SCRIPTS", bin_of_wheel)
    assert demo.main() == 0
    printed = capfd.readouterr().out
    assert "$ custodian run" in printed
    assert "$ c7n-org run" in printed
    assert "$ c7n-secops report" in printed
    assert "staging eu-west-1: 6 instances recorded as not evaluated" in printed
    report = (tmp_path / "demo-output" / "report.html").read_text()
    assert "AccessDeniedException" in report
    assert report.count('<tr data-outcome="changed">') == 15
