"""Case ids, and the lock of a case."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops import deadline
from c7n_secops_response.evidence import names
from c7n_secops_response.evidence.case import Case
from c7n_secops_response.evidence.lock import CaseLock, LockedError
from c7n_secops_response.evidence.names import CaseNameError
from c7n_secops_response.evidence.store import Folder, Store
from tests.emulator import Emulator
from tests.harness import Custodian
from tests.ir_scene import CASE, FORENSICS, REGION, Scene, by_instance, policy, wait_for

NOW = datetime(2026, 1, 31, 23, 59, tzinfo=timezone.utc)
INSTANCE = {"InstanceId": "i-0abc"}


def filled(template: str, event: Any = None, case: str = "") -> str:
    values = names.values_for(INSTANCE, event, "111111111111", "us-east-1", NOW, case)
    return names.fill(template, values)


@pytest.mark.parametrize(
    "template, event, expected",
    [
        ("INC-7", None, "INC-7"),
        ("{date}-{instance_id}", None, "20260131-i-0abc"),
        ("{account_id}.{region}", None, "111111111111.us-east-1"),
        ("{event_id}", {"id": "e-1"}, "e-1"),
        ("{finding_id}", {"detail": {"id": "32b0"}}, "32b0"),
        ("{finding_id}", {"detail": {"findingArn": "arn:aws:inspector2:x:1:finding/ab"}}, "ab"),
        ("{finding_id}", {"detail": {"findings": [{"Id": "arn:aws:x:y:1:a/finding/cd"}]}}, "cd"),
        ("{case}", None, "INC-0"),
        ("{case}", {"detail": {"case": "INC-9"}}, "INC-9"),
    ],
)
def test_a_case_id_is_filled_in(template: str, event: Any, expected: str) -> None:
    assert filled(template, event, case="INC-0") == expected


@pytest.mark.parametrize(
    "template, event",
    [
        ("{finding_id}", None),
        ("{finding_id}", {"detail": {"id": ["x"]}}),
        ("{finding_id}", {"detail": "x"}),
        ("{finding_id}", {"detail": {"findings": "x", "id": "../../x y"}}),
        ("{case}", {"detail": {"case": {"a": 1}}}),
        ("{event_id}", {"id": "a" * 65}),
        ("{ticket}", None),
        ("..", None),
        ("a/b", None),
        ("", None),
    ],
)
def test_a_case_id_that_cannot_be_made_is_refused(template: str, event: Any) -> None:
    with pytest.raises(CaseNameError):
        filled(template, event)


@given(st.text(max_size=80))
def test_no_event_can_make_a_case_id_that_leaves_its_folder(text: str) -> None:
    try:
        name = filled("{finding_id}", {"detail": {"id": text}})
    except CaseNameError:
        return
    assert names.VALID.fullmatch(name)
    assert "/" not in name
    assert name.strip(".")


# --- the lock -----------------------------------------------------------------------------------


@pytest.fixture
def folder(emulator: Emulator) -> Any:
    """A function that gives the same folder anew, as another process would see it."""
    Scene(emulator).build()
    store = Store.__new__(Store)
    store.options = {"bucket": "ir-evidence"}
    store.bucket = "ir-evidence"
    store.client = emulator.client("s3", FORENSICS, REGION)
    return lambda: Folder(store, "cases/x")


def test_one_of_many_runs_at_once_takes_the_case(folder: Any) -> None:
    start = threading.Barrier(6)
    taken: list[str] = []
    refused: list[str] = []

    def run(name: str) -> None:
        lock = CaseLock(folder(), name, 60)
        start.wait()
        try:
            lock.take()
        except LockedError as error:
            refused.append(str(error))
        else:
            taken.append(name)

    runs = [threading.Thread(target=run, args=(f"run-{number}",)) for number in range(6)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert (len(taken), len(refused)) == (1, 5)


def test_a_lock_is_free_once_the_manifest_names_its_run(folder: Any) -> None:
    assert CaseLock(folder(), "first", 60).take() is True
    with pytest.raises(LockedError, match="run first handles the case until 20"):
        CaseLock(folder(), "second", 60).take()
    folder().put_json("manifest.json", {"run": "another"})
    with pytest.raises(LockedError):
        CaseLock(folder(), "second", 60).take()
    folder().put_json("manifest.json", {"run": "first"})
    assert CaseLock(folder(), "second", 60).take() is False


def test_a_run_takes_up_its_own_lock_and_an_expired_one(folder: Any) -> None:
    CaseLock(folder(), "first", 60).take()
    assert CaseLock(folder(), "first", 0).take() is False
    assert CaseLock(folder(), "second", 60).take() is False
    with pytest.raises(LockedError, match="run second"):
        CaseLock(folder(), "third", 60).take()


def test_of_two_runs_that_take_up_one_expired_lock_one_gets_it(folder: Any) -> None:
    CaseLock(folder(), "first", 0).take()
    slow = CaseLock(folder(), "slow", 60)
    read = slow.folder.get_json

    def read_and_be_overtaken(name: str) -> Any:
        found = read(name)
        CaseLock(folder(), "fast", 60).take()
        return found

    slow.folder.get_json = read_and_be_overtaken  # type: ignore[method-assign]
    with pytest.raises(LockedError, match="took the case at this moment"):
        slow.take()
    assert folder().get_json("lock.json")[0]["run"] == "fast"


def test_what_was_before_is_kept_once_and_only_gains_what_it_lacks(folder: Any) -> None:
    case = Case({"InstanceId": "i-0abc"}, CASE, folder(), CaseLock(folder(), "first", 60))
    case.remember({"imds": "enabled", "interfaces": {"eni-1": {"groups": ["a"]}}})
    case.remember(
        {"imds": "disabled", "asg": None, "interfaces": {"eni-1": {}, "eni-2": {"groups": ["b"]}}}
    )
    kept = folder().get_json("ledger/10-prior.json")[0]
    assert kept == {
        "imds": "enabled",
        "asg": None,
        "interfaces": {"eni-1": {"groups": ["a"]}, "eni-2": {"groups": ["b"]}},
    }


def test_a_run_whose_lock_was_taken_over_notices_as_it_renews_it(folder: Any) -> None:
    first = CaseLock(folder(), "first", 0)
    first.take()
    first.keep()
    CaseLock(folder(), "second", 60).take()
    with pytest.raises(LockedError, match="another run took the case over"):
        first.keep()


def contain(scene: Scene) -> dict[str, Any]:
    return policy({"type": "quarantine-instance", "case-id": CASE, "evidence": scene.store})


def test_a_run_without_a_manifest_does_not_keep_the_next_one_out(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator).build()
    (name,) = scene.launch()
    emulator.fault("s3", "PutObject", code="AccessDenied", status=403, after=9)
    result = by_instance(custodian(contain(scene)), "quarantine-instance")[name]
    assert (result["outcome"], result["steps"]["manifest"]) == ("partial", "failed")
    assert scene.tags(name)["c7n-secops:state"] == "partial"
    result = by_instance(custodian(contain(scene)), "quarantine-instance")[name]
    assert result["outcome"] == "contained"


def test_a_run_that_could_not_read_the_ledger_does_not_keep_the_next_one_out(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator).build()
    (name,) = scene.launch()
    custodian(contain(scene))
    emulator.fault("s3", "ListObjectsV2", code="AccessDenied", status=403)
    with pytest.raises(PolicyExecutionError):
        custodian(contain(scene))
    result = by_instance(custodian(contain(scene)), "quarantine-instance")[name]
    assert result["outcome"] == "contained"


def test_a_lock_is_not_renewed_before_half_of_its_time(folder: Any, emulator: Emulator) -> None:
    lock = CaseLock(folder(), "first", 60)
    lock.take()
    emulator.clear_calls()
    lock.keep()
    assert emulator.calls("s3") == []


def test_a_run_that_lost_its_case_changes_nothing_more_and_writes_no_manifest(
    emulator: Emulator, custodian: Custodian
) -> None:
    """Another run takes the case over while this one is stuck in a call longer than its lock."""
    scene = Scene(emulator).build()
    (name,) = scene.launch()
    before = scene.interfaces(name)
    emulator.fault("ec2", "ModifyInstanceAttribute", kind="timeout", seconds=2)
    stolen = threading.Thread(target=steal, args=(emulator, scene, name))
    stolen.start()
    action = {"type": "quarantine-instance", "case-id": CASE, "evidence": scene.store}
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 3000)
    with deadline.of_lambda(context), pytest.raises(PolicyExecutionError, match="took the case"):
        custodian(policy(action))
    stolen.join()
    assert scene.interfaces(name) == before
    assert "manifest.json" not in scene.objects(name)
    assert json.loads(scene.contents(name)["lock.json"])["run"] == "thief"


def steal(emulator: Emulator, scene: Scene, name: str) -> None:
    wait_for(emulator, "DescribeInstanceAttribute")
    lock = {"run": "thief", "expires": "2999-01-01T00:00:00+00:00"}
    scene.s3.put_object(
        Bucket=scene.bucket, Key=f"{scene.folder(name)}/lock.json", Body=json.dumps(lock).encode()
    )
