"""A run that stops at any of its calls, and the run after it: nothing lost, doubled or untrue."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError

from tests.emulator import Emulator
from tests.harness import Custodian
from tests.ir_scene import CASE, Scene, Suspect, by_instance, policy

CALLS = 58
"""How many calls the run below makes."""

READS = ("Describe", "Get", "List", "AssumeRole")

DEAD = {"kind": "crash", "times": None}
"""From the call on nothing is answered, as for a process that died."""

DENIED = {"kind": "error", "code": "AccessDenied", "status": 403}

UNANSWERED = {"kind": "crash", "when": "after"}
"""The call is done, and its answer is lost."""

CHANGES = (5, 14, 18, 19, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36, 37, 38, 40, 41)
CHANGES += (43, 44, 46, 47, 48, 49, 50, 51, 52, 55, 56, 57, 58)
"""The calls that change something; a lost answer of the others is no more than a refused read."""

NOT_PUT = (5, 14, 25, 27, 28, 29, 30, 33, 35, 37, 38, 40, 41, 43, 44, 47, 49, 51, 55, 58)
"""Of those all but the objects that a second put makes the same again."""

GATHER = {
    "profile": "ir-gather",
    "commands": [{"name": "processes", "run": "ps auxww"}],
    "max-wait": 1,
}
GATHER_CALLS = range(32, 56)
"""In a run with ``GATHER`` and two steps on a plain instance: from the profile to the groups."""


def run_to_the_end(custodian: Custodian, data: dict[str, Any]) -> None:
    """Run, and let a policy that fails do so: what it left behind is what is looked at."""
    try:
        custodian(data)
    except PolicyExecutionError:
        pass
    except Exception as error:  # noqa: BLE001  Custodian's own reads raise what botocore raises
        assert type(error).__module__.startswith("botocore"), error


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is made once, so that the k-th call is the k-th of the run."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


EXPECTED: dict[str, Any] = {
    "contained": True,
    "tags": {"case": CASE, "state": "contained", "snapshots": "done"},
    "termination": True,
    "stop": True,
    "shutdown": "stop",
    "volumes": [False],
    "imds": "disabled",
    "profile": None,
    "asg": [],
    "targets": [],
    "address": None,
    "role policies": [f"c7n-secops-revoke-{CASE}"],
    "snapshots": True,
    "groups": 2,
    "objects": [
        "evidence/console.txt",
        "evidence/instance.json",
        "evidence/screenshot.jpg",
        "ledger/10-prior.json",
        "ledger/20-evidence.json",
        "ledger/30-snapshots.json",
        "ledger/40-protect.json",
        "ledger/50-asg.json",
        "ledger/52-elb.json",
        "ledger/70-contain.json",
        "ledger/72-imds.json",
        "ledger/80-profile.json",
        "ledger/82-sessions.json",
        "ledger/84-eip.json",
        "lock.json",
        "manifest.json",
    ],
    "ledger": dict.fromkeys(
        (
            "evidence",
            "snapshots",
            "protect",
            "asg",
            "elb",
            "contain",
            "imds",
            "profile",
            "sessions",
            "eip",
        ),
        "done",
    ),
}
"""The state after a run without a crash, which is also the state after any crash and a re-run."""


def test_the_crashes_below_are_at_every_call_of_the_run(
    emulator: Emulator, custodian: Custodian, once: None
) -> None:
    suspect = Suspect(emulator)
    custodian(suspect.policy())
    made = emulator.calls()
    assert len(made) == CALLS
    changes = [k for k, call in enumerate(made, 1) if not call.operation.startswith(READS)]
    assert changes == list(CHANGES)
    puts = [k for k, call in enumerate(made, 1) if call.operation == "PutObject"]
    assert set(NOT_PUT) == set(CHANGES) - set(puts) | {puts[0]}
    assert suspect.state() == EXPECTED
    suspect.check_promises(custodian)
    suspect.check_prior()


@pytest.mark.parametrize(
    "fault, k",
    [
        *(pytest.param(DEAD, k, id=f"dead-{k}") for k in range(1, CALLS + 1)),
        *(pytest.param(DENIED, k, id=f"denied-{k}") for k in range(1, CALLS + 1)),
        *(pytest.param(UNANSWERED, k, id=f"unanswered-{k}") for k in NOT_PUT),
    ],
)
def test_a_run_after_a_crash_at_any_call_ends_as_if_there_had_been_none(
    emulator: Emulator, custodian: Custodian, once: None, fault: dict[str, Any], k: int
) -> None:
    suspect = Suspect(emulator)
    emulator.fault("*", "*", after=k - 1, **fault)
    run_to_the_end(custodian, suspect.policy())
    assert emulator.faults()[0]["used"] >= 1
    emulator.clear_faults()
    suspect.check_promises(custodian)
    if "lock.json" in suspect.scene.objects(suspect.id):
        suspect.scene.expire_lock(suspect.id)

    custodian(suspect.policy())
    assert suspect.state() == EXPECTED
    suspect.check_promises(custodian)
    suspect.check_prior()
    suspect.check_evidence_is_single()


def gathering(emulator: Emulator) -> tuple[Scene, str, dict[str, Any]]:
    """A plain instance with a profile, and a policy that asks it and cuts its connections."""
    scene = Scene(emulator).build()
    _vpc, subnet = scene.vpc()
    scene.profile("ir-gather")
    (name,) = scene.launch(SubnetId=subnet, IamInstanceProfile={"Arn": scene.profile("web")})
    action = {
        "type": "quarantine-instance",
        "case-id": CASE,
        "evidence": scene.store,
        "gather": GATHER,
        "cut-tracked": "two-step",
    }
    emulator.clear_calls()
    return scene, name, policy(action)


def test_the_crashes_below_are_at_every_call_of_gathering_and_of_the_two_steps(
    emulator: Emulator, custodian: Custodian, once: None
) -> None:
    _scene, _name, data = gathering(emulator)
    custodian(data)
    made = [call.operation for call in emulator.calls()]
    assert made.index("ReplaceIamInstanceProfileAssociation") + 1 == GATHER_CALLS.start
    assert made.index("DisassociateIamInstanceProfile") + 1 == GATHER_CALLS.stop


@pytest.mark.parametrize("k", GATHER_CALLS)
def test_a_run_that_died_while_it_asked_or_cut_connections_is_finished_by_the_next(
    emulator: Emulator, custodian: Custodian, once: None, k: int
) -> None:
    scene, name, data = gathering(emulator)
    emulator.fault("*", "*", after=k - 1, **DEAD)  # type: ignore[arg-type]
    run_to_the_end(custodian, data)
    emulator.clear_faults()
    assert scene.tags(name)["c7n-secops:state"] == "capturing"
    scene.expire_lock(name)

    run = custodian(data)
    assert scene.is_contained(name)
    result = by_instance(run, "quarantine-instance")[name]
    assert (result["outcome"], result["steps"]["gather"]) == ("contained", "done")
    assert "evidence/os/processes.txt" in scene.check_manifest(name)["objects"][2]["key"]
    assert "IamInstanceProfile" not in scene.instance(name)
    assert scene.read(name, "ledger/10-prior.json")["profile"]["arn"].endswith("/web")
    names = [row["GroupName"] for row in scene.ec2.describe_security_groups()["SecurityGroups"]]
    assert "c7n-quarantine-open" not in names
