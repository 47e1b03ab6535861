"""The demonstration runs, and fails where an effect is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

from tests.emulator import Emulator
from tests.harness import ROOT


@pytest.fixture
def demo(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with the tests' emulator and its output in a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("demo_run", ROOT / "demo" / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    output = tmp_path / "demo-output"
    monkeypatch.setattr(module, "OUTPUT", output)
    monkeypatch.setattr(module, "REPORT", output / "report.html")
    monkeypatch.setattr(sys, "argv", ["run.py"])
    monkeypatch.setattr(module, "running", lambda: nullcontext(emulator))
    monkeypatch.chdir(os.curdir)
    return module


def test_the_demo_shows_every_effect_and_writes_the_report(
    demo: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo.main() == 0
    printed = capfd.readouterr().out
    assert "$ custodian run" in printed
    assert "$ c7n-org run" in printed
    assert "$ c7n-secops report" in printed
    assert "staging eu-west-1: 6 instances recorded as not evaluated" in printed
    report = (tmp_path / "demo-output" / "report.html").read_text()
    assert "AccessDeniedException" in report
    assert report.count('<tr data-outcome="changed">') == 15


def test_the_demo_fails_where_no_command_is_sent(demo: ModuleType, emulator: Emulator) -> None:
    steps = demo.Demo(emulator)
    built = steps.build()
    emulator.fault("ssm", "SendCommand", code="AccessDeniedException", status=403, times=None)
    with pytest.raises(demo.MissingEffectError, match="got one patch command"):
        steps.patch(built)


def test_the_demo_fails_with_the_command_that_fails(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: object) -> None:
        demo.Demo.command(self, sys.executable, "-c", "raise SystemExit(2)")

    monkeypatch.setattr(demo.Demo, "run", broken)
    assert demo.main() == 1
    assert "ends with exit code 2" in capfd.readouterr().out
