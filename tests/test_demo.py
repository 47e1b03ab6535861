"""The demonstration fails where an effect is missing; that it runs, test_newcomer.py shows."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.emulator import Emulator


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
