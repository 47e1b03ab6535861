"""Every shipped policy runs to its end under exactly the role that is generated for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import test_cis as cis
from tests.emulator import Emulator, running
from tests.iam_scene import Prover


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def prove(enforcing: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prover:
    enforcing.reset()
    return Prover(enforcing, tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _every_prefix_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 Control puts the account before the host's name, where ours is an address."""
    resolve = socket.getaddrinfo

    def here(host: str, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host.endswith(".127.0.0.1") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)


def test_cis(prove: Prover) -> None:
    scene = cis.Scene(prove.emulator, cis.BROKEN)
    cis.make_sound(scene, advanced=True)
    cis.plant(scene)
    for policy in cis.policies():
        try:
            p = prove(policy, account=cis.BROKEN)
        except Exception as e:
            p = prove.proofs[policy["name"]]
            print("RAISED", policy["name"], type(e), str(e)[:300])
        if p.refused: print(policy["name"], "REFUSED", [r[:150] for r in sorted(p.refused)])
        if p.granted != p.needed: print(policy["name"], "idle", sorted(p.granted - p.needed), "ungranted", sorted(p.needed - p.granted))
