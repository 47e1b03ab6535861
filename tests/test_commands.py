"""The sender of Systems Manager commands: exactly once, whatever AWS answers."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops import deadline
from c7n_secops_ssm import agents
from c7n_secops_ssm.commands import History, Operation, Sender, ending
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION
from tests.ssm_fleet import PATCH, commands_by_instance, launch, number_of_calls, sent

SCAN = {"Operation": ["Scan"]}


@pytest.fixture
def sender(emulator: Emulator) -> Sender:
    session = emulator.session()
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=5)
    return Sender(
        session.client("ssm", config=once, endpoint_url=emulator.url),
        session.client("ssm", endpoint_url=emulator.url),
        {"DocumentName": PATCH},
        "patch-everything",
    )


def test_a_command_whose_answer_was_lost_is_not_sent_again(
    emulator: Emulator, sender: Sender
) -> None:
    ids = launch(emulator, 3)
    emulator.fault("ssm", "SendCommand", kind="timeout", when="after", seconds=0.2)
    (delivery,) = sender.send(SCAN, ids)
    assert delivery.command_id == sent(emulator)[0]["CommandId"]
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)
    assert number_of_calls(emulator, "SendCommand") == 1


@pytest.mark.parametrize("code, status", [("InternalServerError", 500), ("Unknown", 502)])
def test_a_servers_error_after_the_command_was_made_is_not_a_failure(
    emulator: Emulator, sender: Sender, code: str, status: int
) -> None:
    ids = launch(emulator, 2)
    emulator.fault("ssm", "SendCommand", code=code, status=status, when="after")
    (delivery,) = sender.send(SCAN, ids)
    assert delivery.command_id
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


def test_a_command_that_never_reached_aws_is_sent_again(emulator: Emulator, sender: Sender) -> None:
    sender.look_ups = (0, 0.05)
    ids = launch(emulator, 2)
    emulator.fault("ssm", "SendCommand", kind="crash", when="before")
    (delivery,) = sender.send(SCAN, ids)
    assert delivery.command_id
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


def test_a_command_is_not_sent_again_when_nobody_can_say_whether_it_exists(
    emulator: Emulator, sender: Sender
) -> None:
    ids = launch(emulator, 2)
    emulator.fault("ssm", "SendCommand", kind="crash", when="after")
    emulator.fault("ssm", "ListCommands", code="AccessDeniedException", times=None)
    (delivery,) = sender.send(SCAN, ids)
    assert delivery.command_id is None
    assert delivery.obstacle and delivery.obstacle.code == "Unconfirmed"
    emulator.clear_faults()
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


def test_a_throttled_command_is_sent_when_aws_lets_it(emulator: Emulator, sender: Sender) -> None:
    ids = launch(emulator, 60)
    emulator.fault("ssm", "SendCommand", times=1)
    assert [d.obstacle for d in sender.send(SCAN, ids)] == [None, None]
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


def test_a_command_that_gets_through_restores_the_patience_for_the_next(
    emulator: Emulator, sender: Sender
) -> None:
    ids = launch(emulator, 60)
    emulator.fault("ssm", "SendCommand", times=1)
    emulator.fault("ssm", "SendCommand", times=1, after=1)
    assert [d.obstacle for d in sender.send(SCAN, ids)] == [None, None]
    assert number_of_calls(emulator, "SendCommand") == 4


def test_throttling_without_end_ends(emulator: Emulator, sender: Sender) -> None:
    ids = launch(emulator, 60)
    emulator.fault("ssm", "SendCommand", times=None)
    deliveries = list(sender.send(SCAN, ids))
    assert [d.obstacle and d.obstacle.code for d in deliveries] == ["ThrottlingException"] * 2
    # AWS_MAX_ATTEMPTS is 2 here: one pause for both batches together.
    assert number_of_calls(emulator, "SendCommand") == 3


def test_one_bad_id_among_fifty_costs_only_itself(emulator: Emulator, sender: Sender) -> None:
    ids = launch(emulator, 49)
    bad = "i-00000000000000000"
    deliveries = list(sender.send(SCAN, [*ids[:20], bad, *ids[20:]]))
    failed = [d for d in deliveries if d.obstacle]
    assert [d.instance_ids for d in failed] == [[bad]]
    assert failed[0].obstacle and failed[0].obstacle.code == "InvalidInstanceId"
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


def test_a_denied_batch_does_not_stop_the_next(emulator: Emulator, sender: Sender) -> None:
    ids = launch(emulator, 51)
    emulator.fault("ssm", "SendCommand", code="AccessDeniedException", message="not yours")
    first, second = sender.send(SCAN, ids)
    assert first.obstacle and first.obstacle.code == "AccessDeniedException"
    assert "not yours" in first.obstacle.reason
    assert second.command_id
    assert number_of_calls(emulator, "SendCommand") == 2


def test_a_lambda_out_of_time_does_not_pause_for_another_try(
    emulator: Emulator, sender: Sender
) -> None:
    ids = launch(emulator, 1)
    emulator.fault("ssm", "SendCommand", times=1)
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 1000 * deadline.RESERVE)
    with deadline.of_lambda(context):
        (delivery,) = sender.send(SCAN, ids)
    assert delivery.obstacle and delivery.obstacle.code == "ThrottlingException"


class PickySsm:
    """A client of AWS's rule that one bad id refuses the whole call."""

    def __init__(self, bad: set[str]):
        self.bad, self.got = bad, []

    def send_command(self, InstanceIds: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        assert 0 < len(InstanceIds) <= 50
        if self.bad & set(InstanceIds):
            answer = {
                "Error": {"Code": "InvalidInstanceId", "Message": "bad"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
            raise ClientError(answer, "SendCommand")
        self.got += InstanceIds
        return {"Command": {"CommandId": "c"}}


@given(
    good=st.sets(st.integers(0, 200), max_size=130), bad=st.sets(st.integers(201, 260), max_size=8)
)
def test_however_the_bad_ids_lie_each_good_one_gets_one_command(
    good: set[int], bad: set[int]
) -> None:
    ids = [str(n) for n in sorted(good | bad, key=lambda n: n * 7919 % 263)]
    ssm = PickySsm({str(n) for n in bad})
    deliveries = list(Sender(ssm, ssm, {"DocumentName": "d"}, "p").send({}, ids))
    assert sorted(ssm.got) == sorted(str(n) for n in good)
    assert sorted(i for d in deliveries for i in d.instance_ids) == sorted(ids)
    assert {i for d in deliveries if d.obstacle for i in d.instance_ids} == ssm.bad


@given(st.lists(st.integers(0, 99999), min_size=2, max_size=4), st.integers(0, 99999), st.data())
def test_versions_compare_as_numbers(parts: list[int], change: int, data: st.DataObject) -> None:
    text = ".".join(map(str, parts))
    assert agents.version(text) == agents.version(f"{text}.0")
    place = data.draw(st.integers(0, len(parts) - 1))
    other = [*parts[:place], change, *parts[place + 1 :]]
    changed = agents.version(".".join(map(str, other)))
    assert (agents.version(text) < changed) is (parts[place] < change)


def history(emulator: Emulator, cooldown: timedelta = timedelta(hours=12)) -> History:
    return History(emulator.client("ssm"), PATCH, cooldown, timedelta(hours=3))


INSTALL = Operation("Install", {"Operation": ["Install"]}, ("Operation",))


def test_a_command_of_anybodys_counts_for_the_cooldown(emulator: Emulator) -> None:
    ids = launch(emulator, 2)
    emulator.client("ssm").send_command(
        DocumentName=PATCH, InstanceIds=ids[:1], Parameters=INSTALL.parameters
    )
    assert {k: v.code for k, v in history(emulator).obstacles(INSTALL, ids).items()} == {
        ids[0]: "Cooldown"
    }
    assert number_of_calls(emulator, "ListCommandInvocations") == 0


def test_a_command_sent_by_tag_counts_for_the_instances_it_reached(emulator: Emulator) -> None:
    ids = launch(emulator, 2, tags={"fleet": "a"}) + launch(emulator, 1, tags={"fleet": "b"})
    emulator.client("ssm").send_command(
        DocumentName=PATCH,
        Targets=[{"Key": "tag:fleet", "Values": ["a"]}],
        Parameters=INSTALL.parameters,
    )
    assert set(history(emulator).obstacles(INSTALL, ids)) == set(ids[:2])


def test_outside_the_cooldown_only_the_instances_still_at_it_are_left_alone(
    emulator: Emulator,
) -> None:
    ids = launch(emulator, 2)
    emulator.set_command_behaviour(ACCOUNT, REGION, "Success", {ids[1]: "InProgress"})
    emulator.client("ssm").send_command(
        DocumentName=PATCH, InstanceIds=ids, Parameters=INSTALL.parameters
    )
    found = history(emulator, timedelta()).obstacles(INSTALL, ids)
    assert {k: v.code for k, v in found.items()} == {ids[1]: "CommandRunning"}


def test_another_operation_of_the_document_counts_for_nothing(emulator: Emulator) -> None:
    ids = launch(emulator, 1)
    emulator.client("ssm").send_command(DocumentName=PATCH, InstanceIds=ids, Parameters=SCAN)
    assert history(emulator).obstacles(INSTALL, ids) == {}


@pytest.mark.parametrize(
    "status, details, outcome, reason",
    [
        ("Success", "Success", "succeeded", "Success"),
        ("Failed", "", "failed", "Failed"),
        ("TimedOut", "DeliveryTimedOut", "failed", "DeliveryTimedOut"),
        ("Cancelled", "Terminated", "failed", "Terminated"),
        ("Delayed", "Delayed", "running", "Delayed"),
        ("Cancelling", "Cancelling", "running", "Cancelling"),
    ],
)
def test_what_a_status_means(status: str, details: str, outcome: str, reason: str) -> None:
    assert ending({"Status": status, "StatusDetails": details}) == (outcome, reason)
