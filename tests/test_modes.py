"""The event modes in this process: their rules' patterns, their errors, and hostile events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from c7n.config import Config
from c7n.exceptions import PolicyValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

import c7n_secops_inspector as inspector
from c7n_secops_tools.testing.runs import load_policy
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.inspector_data import finding, launch, policy, sample_event

ROLE = f"arn:aws:iam::{ACCOUNT}:role/c7n-secops-lambda"


def in_mode(kind: str, resource: str = "aws.ec2", **options: Any) -> dict[str, Any]:
    return policy(resource=resource, mode={"type": kind, "role": ROLE, **options})


def loaded(data: dict[str, Any]) -> Any:
    return load_policy(data, Config.empty(regions=[REGION], account_id=ACCOUNT))


def pattern(data: dict[str, Any]) -> dict[str, Any]:
    """The pattern of the rule that a deployment makes."""
    mode = loaded(data).get_execution_mode()
    (source,) = mode.policy_lambda(mode.policy).get_events(mode.policy.session_factory)
    found: dict[str, Any] = json.loads(source.render_event_pattern())
    return found


# --- patterns -----------------------------------------------------------------------------------


def test_findings_that_open_or_change_are_selected_unless_told_otherwise() -> None:
    assert pattern(in_mode("inspector-finding")) == {
        "source": ["aws.inspector2"],
        "detail-type": ["Inspector2 Finding"],
        "detail": {"status": ["ACTIVE"], "resources": {"type": ["AWS_EC2_INSTANCE"]}},
    }


@pytest.mark.parametrize(
    ("resource", "type_name"),
    [("aws.ecr-image", "AWS_ECR_CONTAINER_IMAGE"), ("aws.lambda", "AWS_LAMBDA_FUNCTION")],
)
def test_the_rule_selects_the_type_of_the_policy_s_resource(resource: str, type_name: str) -> None:
    detail = pattern(in_mode("inspector-finding", resource))["detail"]
    assert detail["resources"] == {"type": [type_name]}


def test_severity_and_status_narrow_in_the_rule_itself() -> None:
    data = in_mode("inspector-finding", severities=["CRITICAL", "HIGH"], status=["CLOSED"])
    detail = pattern(data)["detail"]
    assert (detail["severity"], detail["status"]) == (["CRITICAL", "HIGH"], ["CLOSED"])


@pytest.mark.parametrize(
    ("events", "types"),
    [
        (["scan"], ["Inspector2 Scan"]),
        (["coverage", "scan"], ["Inspector2 Coverage", "Inspector2 Scan"]),
    ],
)
def test_scans_and_coverage_select_by_their_type_alone(events: list[str], types: list[str]) -> None:
    found = pattern(in_mode("inspector-finding", events=events))
    assert found == {"source": ["aws.inspector2"], "detail-type": types}


def test_a_pattern_of_the_author_is_merged_over_ours() -> None:
    data = in_mode("inspector-finding", pattern={"detail": {"fixAvailable": ["YES"]}})
    detail = pattern(data)["detail"]
    assert detail["fixAvailable"] == ["YES"]
    assert detail["status"] == ["ACTIVE"]


def test_the_pattern_of_eventbridge_is_the_author_s() -> None:
    given = {"source": ["acme.edr"], "detail-type": ["Compromise"]}
    assert pattern(in_mode("eventbridge", pattern=given, ids="detail.host")) == given


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            in_mode("inspector-finding", "aws.s3"),
            ["does not support resource aws.s3", "aws.ec2, aws.ecr-image, aws.lambda"],
        ),
        (
            in_mode("inspector-finding", events=["scan"], severities=["HIGH"]),
            ["severities narrow findings only", "remove events"],
        ),
        (
            in_mode("eventbridge", pattern={"source": ["x"]}, ids="detail.["),
            ["ids is not a JMESPath expression"],
        ),
    ],
    ids=["resource", "narrowed-scans", "expression"],
)
def test_an_impossible_mode_is_an_error_that_names_policy_mode_and_fix(
    data: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(PolicyValidationError) as raised:
        loaded(data)
    text = str(raised.value)
    assert text.startswith(f"policy:under-test mode:{data['mode']['type']} ")
    assert [part for part in said if part not in text] == []


@pytest.mark.parametrize(
    "data",
    [
        in_mode("inspector-finding", severities=["HUGE"]),
        in_mode("inspector-finding", severities=[]),
        in_mode("inspector-finding", severty=["HIGH"]),
        in_mode("eventbridge", pattern={"source": ["x"]}),
        in_mode("eventbridge", ids="detail.host"),
        in_mode("eventbridge", pattern={"source": ["x"]}, ids="detail.host", bus=""),
    ],
    ids=["value", "empty", "key", "no-ids", "no-pattern", "no-bus"],
)
def test_the_schema_refuses_what_a_mode_does_not_know(data: dict[str, Any]) -> None:
    with pytest.raises(PolicyValidationError):
        loaded(data)


# --- events, honest and hostile -----------------------------------------------------------------


def scan_event(resource: str) -> dict[str, Any]:
    return {
        "source": "aws.inspector2",
        "detail-type": "Inspector2 Scan",
        "account": ACCOUNT,
        "region": REGION,
        "resources": [resource],
        "detail": {"scan-status": "INITIAL_SCAN_COMPLETE", "version": "1.0"},
    }


def test_a_scan_event_names_its_instance_at_the_top_level(
    emulator: Emulator, custodian: Custodian
) -> None:
    (instance,) = launch(emulator)
    run = custodian(in_mode("inspector-finding", events=["scan"]), event=scan_event(instance))
    assert [r["InstanceId"] for r in run.resources] == [instance]


def test_what_an_event_claims_is_read_again_before_it_counts(
    emulator: Emulator, custodian: Custodian
) -> None:
    hit, clean = launch(emulator, 2)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    data = in_mode("inspector-finding")
    data["filters"] = [{"type": "inspector-finding", "severity": ["CRITICAL"]}]
    for instance, matched in ((hit, [hit]), (clean, [])):
        event = sample_event(
            "inspector2-ec2-package-closed-2024.json",
            instance,
            status="ACTIVE",
            severity="CRITICAL",
        )
        run = custodian(data, event=event)
        assert [r["InstanceId"] for r in run.resources] == matched


@pytest.mark.parametrize("path", ["typed", "top-level"])
@pytest.mark.parametrize(
    "resources",
    [
        ["i-0123456789abcdef0; reboot"],
        ["i-0123456789abcdef0\n"],
        ["I-0123456789ABCDEF0"],
        ["../../i-0123456789abcdef0"],
        ["i-" + "0" * 100_000],
        ["arn:aws:lambda:us-east-1:111111111111:function:f"],
        [{"id": "i-0123456789abcdef0"}],
        [["i-0123456789abcdef0"]],
        [None, 7, True],
        "i-0123456789abcdef0",
        {"i-0123456789abcdef0": 1},
        17,
        None,
        [],
    ],
    ids=lambda value: str(value)[:24],
)
def test_no_call_is_made_with_what_is_no_id(
    emulator: Emulator, custodian: Custodian, resources: Any, path: str
) -> None:
    event = scan_event("")
    if path == "typed":
        typed = (
            [{"type": "AWS_EC2_INSTANCE", "id": each} for each in resources or ()]
            if (isinstance(resources, list))
            else resources
        )
        event.update(resources=[], detail={"resources": typed})
    else:
        event["resources"] = resources
    run = custodian(in_mode("inspector-finding"), event=event)
    assert run.returned == []
    assert emulator.calls("ec2") == []


@pytest.mark.parametrize(
    "detail",
    [None, [], "finding", {"resources": ["i-0123456789abcdef0"]}, {"resources": [None]}],
    ids=str,
)
def test_a_detail_of_another_form_ends_quietly(
    emulator: Emulator, custodian: Custodian, detail: Any
) -> None:
    event = {**scan_event(""), "resources": [], "detail": detail}
    assert custodian(in_mode("inspector-finding"), event=event).returned == []
    assert emulator.calls("ec2") == []


def test_an_instance_that_is_gone_is_not_evaluated(
    emulator: Emulator, custodian: Custodian
) -> None:
    event = scan_event("i-0123456789abcdef0")
    run = custodian(in_mode("inspector-finding"), event=event)
    assert run.resources == []
    assert [(r["element"], r["resource"], r["code"]) for r in run.not_evaluated] == [
        ("mode:inspector-finding", "i-0123456789abcdef0", "NotResolved")
    ]


@pytest.mark.parametrize("mode", ["inspector-finding", "eventbridge"])
def test_an_instance_that_may_not_be_read_is_not_evaluated(
    emulator: Emulator, custodian: Custodian, mode: str
) -> None:
    (instance,) = launch(emulator)
    emulator.fault("ec2", "DescribeInstances", code="UnauthorizedOperation", status=403, times=None)
    own = {"pattern": {"source": ["x"]}, "ids": "resources"} if mode == "eventbridge" else {}
    run = custodian(in_mode(mode, **own), event=scan_event(instance))
    assert run.resources == []
    assert [r["resource"] for r in run.not_evaluated] == [instance]


@pytest.mark.parametrize(
    "host",
    [
        None,
        7,
        {"i-0123456789abcdef0": 1},
        [["i-0123456789abcdef0"]],
        [None, 7],
        "host-1",
        ["x", {}],
    ],
    ids=str,
)
def test_eventbridge_makes_no_call_with_what_is_no_id(
    emulator: Emulator, custodian: Custodian, host: Any
) -> None:
    data = in_mode("eventbridge", pattern={"source": ["acme.edr"]}, ids="detail.host")
    run = custodian(data, event={"source": "acme.edr", "detail": {"host": host}})
    assert run.returned == []
    assert emulator.calls("ec2") == []


@pytest.mark.parametrize("unknown", ["i-0123456789abcdef0", "i-'; reboot"])
def test_an_unknown_id_in_an_event_does_not_hide_the_others(
    emulator: Emulator, custodian: Custodian, unknown: str
) -> None:
    (instance,) = launch(emulator)
    data = in_mode("eventbridge", pattern={"source": ["acme.edr"]}, ids="detail.host")
    run = custodian(data, event={"source": "acme.edr", "detail": {"host": [unknown, instance]}})
    assert [r["InstanceId"] for r in run.resources] == [instance]
    assert [r["resource"] for r in run.not_evaluated] == [unknown]


@pytest.mark.parametrize("many", [False, True])
def test_eventbridge_reads_one_id_or_a_list_each_once(
    emulator: Emulator, custodian: Custodian, many: bool
) -> None:
    instances = launch(emulator, 2)
    data = in_mode("eventbridge", pattern={"source": ["acme.edr"]}, ids="detail.host")
    named = [*instances, instances[0]] if many else instances[0]
    run = custodian(data, event={"source": "acme.edr", "detail": {"host": named}})
    expected = instances if many else instances[:1]
    assert sorted(r["InstanceId"] for r in run.resources) == sorted(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "type", "resources", "detail"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    detail=JSON | st.fixed_dictionaries({"resources": JSON}),
    resources=JSON | st.lists(JSON, max_size=3),
    kind=st.sampled_from(list(inspector.SCANNED.values())),
)
def test_whatever_an_event_holds_only_well_formed_ids_come_out(
    detail: Any, resources: Any, kind: inspector.Scanned
) -> None:
    found = inspector.ids_in_event({"detail": detail, "resources": resources}, kind)
    assert all(kind.id_form.fullmatch(name) for name in found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("action", "packages"),
    [
        ({"type": "ssm-patch"}, ["c7n_secops", "c7n_secops_ssm", "c7n_secops_inspector"]),
        (
            {"type": "quarantine-instance", "case-id": "X", "evidence": {"bucket": "evidence"}},
            ["c7n_secops", "c7n_secops_response", "c7n_secops_ssm"],
        ),
    ],
    ids=["ssm-patch", "quarantine-instance"],
)
def test_a_function_gets_the_packages_of_its_elements_and_no_others(
    action: dict[str, Any], packages: list[str]
) -> None:
    data = policy(mode={"type": "guard-duty", "role": "r"}, resource="ec2", actions=[action])
    mode = loaded(data).data["mode"]
    assert (mode["packages"], mode["handler"]) == (packages, "c7n_secops.handler.run")
