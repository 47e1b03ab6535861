"""``c7n-secops test``: cases, what they are compared with, and what is told of mistakes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import botocore.session
import pytest
from c7n.provider import clouds
from c7n.resources.aws import AWS
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from c7n_secops_tools.cases.answers import READS, Answers, Call, as_parsed, paired, part_of
from c7n_secops_tools.cases.command import test as command
from c7n_secops_tools.cases.offline import OfflineError, Sessions, offline
from tests.case_packs import CASE, EVENT, EVENT_POLICY, INSTANCES, POLICY, TAGS, Pack, case, pull
from tests.harness import POLICIES, ROOT


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path)


def test_a_case_that_holds_passes(pack: Pack) -> None:
    code, said = pack(CASE)
    assert (code, said) == (0, "1 cases of 1 policies, 1 passed, 0 failed\n")
    code, said = pack(CASE, "-v")
    assert f"{pack.cases}:3: passed unowned: a running instance without an owner is tagged" in said


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("matched: [i-1]", "matched: [i-1, i-9]", "matched: i-9 was expected"),
        ("matched: [i-1]", "matched: []", "matched: i-1 was not expected"),
        ("matched: [i-1]", "not-evaluated: [i-9]", "not evaluated: i-9 was expected"),
        (
            "matched: [i-1]",
            "matched: [i-1]\n    annotations: {i-1: {c7n:Why: {}}}",
            "i-1 carries no c7n:Why",
        ),
        (
            "matched: [i-1]",
            "matched: [i-1]\n    annotations: {i-1: {State: {Name: stopped}}}",
            "i-1 carries State {'Name': 'running'}, not {'Name': 'stopped'}",
        ),
        ("Value: nobody", "Value: ana", "the call ec2:CreateTags"),
        ("call: ec2:CreateTags", "call: ec2:DeleteTags", "no answer for the call ec2:CreateTags"),
        ("matched: [i-1]", "matched: [i-1]\n    error: refused", "it had to fail with 'refused'"),
        (
            "    - call: ec2:CreateTags",
            "    - call: ec2:CreateTags\n      times: 2",
            "was expected (1 times more)",
        ),
    ],
)
def test_what_does_not_hold_fails_and_is_told(
    pack: Pack, wrong: str, right: str, said: str
) -> None:
    assert wrong in CASE
    code, output = pack(CASE.replace(wrong, right))
    assert code == 2
    assert f"{pack.cases}:3: FAILED unowned: a running instance without an owner" in output
    assert said in output
    assert "0 passed, 1 failed" in output


def test_an_unexpected_change_fails_even_where_it_is_answered(pack: Pack) -> None:
    text = CASE[: CASE.index("    calls:")] + (
        "  answers: [{call: 'ec2:CreateTags', answer: {}}]\n"
    )
    code, said = pack(text)
    assert code == 2
    assert "the call ec2:CreateTags {" in said
    assert "was not expected" in said


def test_a_failure_that_is_expected_passes(pack: Pack) -> None:
    answer = {"call": "ec2:CreateTags", "error": {"code": "Unavailable", "message": "Slowly"}}
    expect = {"matched": ["i-1"], "calls": [{"call": "ec2:CreateTags"}], "error": "Slowly"}
    given_ = {
        "vars": {"owner": "ana"},
        "resources": [{"InstanceId": "i-1", "State": {"Name": "running"}}],
        "answers": [answer],
    }
    assert pack(case(**given_, expect=expect))[0] == 0
    expect["error"] = "Quickly"
    code, said = pack(case(**given_, expect=expect))
    assert (code, "had to fail with 'Quickly'; ClientError: " in said) == (2, True)
    del expect["error"]
    code, said = pack(case(**given_, expect=expect))
    assert (code, "the policy failed: ClientError: " in said) == (2, True)


def test_a_call_without_an_answer_is_named_with_its_parameters(pack: Pack) -> None:
    policy = pull({"filters": [{"type": "ssm-agent", "absent": True}]})
    instances = [{"InstanceId": "i-1"}]
    code, said = pack(case(resources=instances, expect={"matched": []}), policies=policy)
    assert code == 2
    assert 'no answer for the call ssm:DescribeInstanceInformation {"Filters": [{' in said
    other = {
        "call": "ssm:DescribeInstanceInformation",
        "params": {"MaxResults": 7},
        "answer": {"InstanceInformationList": []},
    }
    _, said = pack(
        case(resources=instances, answers=[other], expect={"matched": []}), policies=policy
    )
    assert "no answer (1 there are for other params or regions, or used up) for the call" in said


def test_a_refused_read_is_an_answer_too(pack: Pack) -> None:
    policy = pull({"filters": [{"type": "ssm-agent", "absent": True}]})
    answer = {"call": "ssm:DescribeInstanceInformation", "error": "AccessDeniedException"}
    expected = {"not-evaluated": ["i-1"]}
    made = case(resources=[{"InstanceId": "i-1"}], answers=[answer], expect=expected)
    assert pack(made, policies=policy)[0] == 0
    expected["not-evaluated"] = []
    made = case(resources=[{"InstanceId": "i-1"}], answers=[answer], expect=expected)
    assert "not evaluated: i-1 was not expected" in pack(made, policies=policy)[1]


def test_without_resources_the_policys_own_question_is_answered(pack: Pack) -> None:
    policy = pull({"query": [{"instance-state-name": "running"}]})
    answer = {
        "call": "ec2:DescribeInstances",
        "params": {"Filters": [{"Name": "instance-state-name", "Values": ["running"]}]},
        "answer": {"Reservations": [{"Instances": [{"InstanceId": "i-7", "Tags": TAGS}]}]},
    }
    made = case(answers=[answer], expect={"matched": ["i-7"]})
    assert pack(made, policies=policy)[0] == 0
    made = made.replace("- running", "- stopped")
    assert "no answer (1 there are for other params" in pack(made, policies=policy)[1]


def test_the_clock_stands_where_the_case_says(pack: Pack) -> None:
    policy = pull(
        {
            "filters": [
                {"type": "value", "key": "LaunchTime", "value_type": "age", "op": "gt", "value": 30}
            ]
        }
    )
    text = """
- name: of two instances the older
  policy: unowned
  now: "{now}"
  resources:
  - {{InstanceId: i-1, LaunchTime: 2020-01-01T00:00:00Z}}
  - {{InstanceId: i-2, LaunchTime: "2020-01-03T00:00:00+00:00"}}
  expect: {{matched: [i-1]}}
"""
    assert pack(text.format(now="2020-02-01T12:00:00Z"), policies=policy)[0] == 0
    assert pack(text.format(now="2020-01-31T00:00:00Z"), policies=policy)[0] == 2
    assert pack(text.format(now="2020-01-31T01:00:00+02:00"), policies=policy)[0] == 2
    assert pack(text.format(now="2020-01-30T23:00:00-02:00"), policies=policy)[0] == 0


def test_a_date_is_a_text_as_in_json(pack: Pack) -> None:
    policy = pull({"filters": [{"Created": "2026-05-01"}]})
    text = """
- name: a date
  policy: unowned
  resources: [{InstanceId: i-1, Created: 2026-05-01}]
  expect: {matched: [i-1]}
"""
    assert pack(text, policies=policy)[0] == 0


def test_files_are_in_the_folder_where_the_policy_runs(pack: Pack) -> None:
    policy = pull(
        {
            "filters": [
                {
                    "type": "value",
                    "key": "InstanceId",
                    "op": "in",
                    "value_from": {"url": "file:names.json", "format": "json"},
                }
            ]
        }
    )
    named = {"files": {"names.json": '["i-1"]'}, "resources": [{"InstanceId": "i-1"}]}
    assert pack(case(expect={"matched": ["i-1"]}, **named), policies=policy)[0] == 0
    before = Path.cwd()
    del named["files"]
    assert pack(case(expect={"matched": ["i-1"]}, **named), policies=policy)[0] == 2
    assert Path.cwd() == before


def test_what_a_case_lacks_its_file_gives(pack: Pack) -> None:
    text = f"""
defaults:
  policy: unowned
  vars: {{owner: ana, unused: x}}
  answers: [{{call: "ec2:CreateTags", error: Refused}}]
cases:
- name: its own come first
  vars: {{owner: ben}}
  answers: [{{call: "ec2:CreateTags", answer: {{}}}}]{INSTANCES}  expect:
    matched: [i-1]
    calls: [{{call: "ec2:CreateTags", params: {{Tags: [{{Key: owner, Value: ben}}]}}}}]
- name: without its own{INSTANCES}  expect:
    matched: [i-1]
    calls: [{{call: "ec2:CreateTags", params: {{Tags: [{{Key: owner, Value: ana}}]}}}}]
    error: Refused
"""
    assert pack.whole(text) == (0, "2 cases of 1 policies, 2 passed, 0 failed\n")


# --- events


def launched(**changes: Any) -> dict[str, Any]:
    answer = {"Reservations": [{"Instances": [{"InstanceId": "i-11111111", "Tags": TAGS}]}]}
    made = {
        "policy": "launched",
        "event": EVENT,
        "answers": [{"call": "ec2:DescribeInstances", "answer": answer}],
        "expect": {
            "matched": ["i-11111111"],
            "calls": [
                {
                    "call": "ec2:CreateTags",
                    "params": {"Tags": [{"Key": "launched", "Value": "111122223333"}]},
                }
            ],
        },
    }
    return {**made, **changes}


def test_an_event_goes_through_the_lambda_handler(pack: Pack) -> None:
    assert pack(case(**launched()), policies=EVENT_POLICY)[0] == 0
    failed_call = {**EVENT, "detail": {**EVENT["detail"], "errorCode": "Denied"}}
    skipped = launched(event=failed_call, expect={"matched": []})
    assert pack(case(**skipped), policies=EVENT_POLICY)[0] == 0, "as Custodian's handler does"


def test_an_event_that_the_rule_does_not_match_starts_nothing(pack: Pack) -> None:
    other = {**EVENT, "source": "elsewhere"}
    code, said = pack(case(**launched(event=other)), policies=EVENT_POLICY)
    assert (code, "EventBridge would not deliver it" in said) == (2, True)
    refused = launched(event=other, expect={"delivered": False})
    assert pack(case(**refused), policies=EVENT_POLICY)[0] == 0
    wrong = launched(expect={"delivered": False})
    code, said = pack(case(**wrong), policies=EVENT_POLICY)
    assert (code, "the case expects that it does not" in said) == (2, True)


def test_an_event_may_be_in_a_file(pack: Pack) -> None:
    (pack.cases.parent / "event.json").write_text(json.dumps(EVENT))
    made = launched()
    del made["event"]
    assert pack(case(**made, **{"event-file": "event.json"}), policies=EVENT_POLICY)[0] == 0


# --- bad input


@pytest.mark.parametrize(
    ("cases", "line", "said"),
    [
        (CASE.replace("expect:", "expected:"), 3, "('expected' was unexpected)"),
        (CASE.replace("  policy: unowned\n", ""), 3, "'policy' is a required property"),
        (CASE.replace("policy: unowned", "policy: other"), 3, "has no policy other, but unowned"),
        (CASE.replace("ec2:CreateTags", "ec2:CreateTag"), 13, "ec2 has no operation CreateTag"),
        (CASE.replace("ec2:CreateTags", "ec3:CreateTags"), 13, "there is no service ec3"),
        (CASE.replace("ec2:CreateTags", "CreateTags"), 13, "does not match"),
        (CASE.replace("matched: [i-1]", "matched: i-1"), 11, "'i-1' is not of type 'array'"),
        (CASE.replace("matched:", "delivered: true\n    matched:"), 11, "delivered is of an event"),
        (CASE.replace("matched:", "matched: []\n    matched:"), 12, "the key matched stands twice"),
        (
            CASE + CASE,
            16,
            "there is a case 'a running instance without an owner is tagged' already",
        ),
        (CASE.replace("  vars:", "  account: '1'\n  vars:"), 5, "does not match"),
        (CASE.replace("  vars:", "  now: yesterday\n  vars:"), 5, "does not match"),
        (CASE.replace("  vars:", "  event: {}\n  vars:"), 7, "a case with an event has no res"),
        (CASE.replace("  vars:", "  event-file: no.json\n  vars:"), 5, "cannot be read as JSON"),
        (
            CASE + "  answers: [{call: 'ec2:DescribeInstances', answer: {Reservation: []}}]\n",
            15,
            "ec2:DescribeInstances.Reservation: DescribeInstancesResult has no such member",
        ),
        (
            CASE + "  answers: [{call: 'ec2:DescribeInstances', answer: {}, error: x}]\n",
            15,
            "is valid under each of",
        ),
        (CASE + "  answers: [{call: 'ec2:DescribeInstances'}]\n", 15, "is not valid under any"),
        ("- [", 3, "did not find expected"),
        ("", 1, "None is not of type 'array'"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(pack: Pack, cases: str, line: int, said: str) -> None:
    code, output = pack(cases)
    assert code == 1
    assert f"{pack.cases}:{line}: " in output
    assert said in output


def test_every_mistake_of_every_file_is_told_at_once(pack: Pack) -> None:
    (pack.cases.parent / "other.yml").write_text("cases: []\n")
    code, said = pack(CASE.replace("expect:", "expected:"))
    assert code == 1
    assert f"{pack.cases}:3: " in said
    assert f"{pack.cases.parent / 'other.yml'}:1: " in said


@pytest.mark.parametrize(
    ("policies", "made", "said"),
    [
        (EVENT_POLICY, {"policy": "launched"}, "events start launched (mode eventbridge); give an"),
        (POLICY, {"event": EVENT}, "no event starts unowned (mode pull); give resources"),
    ],
)
def test_a_case_must_fit_the_mode_of_its_policy(
    pack: Pack, policies: str, made: dict[str, Any], said: str
) -> None:
    code, output = pack(case(**made, expect={"matched": []}), policies=policies)
    assert (code, f"{pack.cases}:2: {said}" in output) == (1, True)


def test_a_policy_that_custodian_refuses_fails_its_cases(pack: Pack) -> None:
    policy = pull({"filters": [{"type": "ssm-agent", "ping-status": ["Offline"]}]})
    code, said = pack(case(resources=[], expect={"matched": []}), policies=policy)
    assert code == 2
    assert "the policy is not valid: " in said
    assert "'Offline' is not one of" in said


def test_a_file_that_is_no_policy_file_is_bad_input(pack: Pack) -> None:
    code, said = pack(CASE, policies="policies: {}\n")
    assert (code, "it needs a list under policies" in said) == (1, True)
    pack.policies.unlink()
    code, said = pack.command(str(pack.cases))
    assert (code, "there is no policy file" in said) == (1, True)


# --- which cases run


def test_a_policy_without_a_case_fails_unless_only_a_part_was_asked(pack: Pack) -> None:
    two = POLICY + "  - {name: other, resource: aws.ec2}\n"
    code, said = pack(CASE, policies=two)
    assert code == 2
    assert f"{pack.policies}:11: other has no case" in said
    assert "1 policies without a case" in said
    assert pack.command(str(pack.policies))[0] == 2
    assert pack.command(str(pack.cases))[0] == 0
    assert pack.command(str(pack.folder), "-k", "OWNER")[0] == 0


def test_a_pack_may_stand_in_a_folder_named_tests(tmp_path: Path) -> None:
    pack = Pack(tmp_path / "tests")
    code, said = pack(CASE, policies=POLICY + "  - {name: other, resource: aws.ec2}\n")
    assert (code, "other has no case" in said) == (2, True)


def test_k_selects_by_file_policy_and_name(pack: Pack) -> None:
    second = CASE.replace("a running instance", "an instance").replace("[i-1]", "[]")
    assert pack(CASE + second)[0] == 2
    code, said = pack.command(str(pack.folder), "-k", "a RUNNING")
    assert (code, said.startswith("1 cases")) == (0, True)
    assert pack.command(str(pack.folder), "-k", "an instance")[0] == 2
    assert pack.command(str(pack.folder), "-k", "nothing")[0] == 1


def test_a_folder_without_cases_is_bad_input(tmp_path: Path) -> None:
    code, said = Pack(tmp_path).command(str(tmp_path))
    assert (code, "no case was found" in said) == (1, True)


def test_the_policies_of_a_case_file_may_have_another_name(pack: Pack) -> None:
    (pack.folder / "other.yml").write_text(POLICY)
    pack.policies.unlink()
    pack.cases.write_text(f"policies: ../other.yml\ncases:\n{CASE}")
    assert pack.command(str(pack.folder))[0] == 0


def test_the_case_in_the_documentation_passes_for_the_shipped_policy(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "policy-tests.md").read_text()
    text = next(block for block in page.split("```yaml")[1:] if "cases:" in block)
    file = tmp_path / "tests" / "agents.yml"
    file.parent.mkdir()
    shipped = POLICIES / "ssm" / "agents.yml"
    file.write_text(f"policies: {shipped}\n{text.partition('```')[0]}")
    done = CliRunner().invoke(command, [str(file)])
    assert (done.exit_code, done.output) == (0, "1 cases of 1 policies, 1 passed, 0 failed\n")


def test_the_documentation_says_which_operations_are_reads() -> None:
    page = " ".join((ROOT / "docs" / "policy-tests.md").read_text().split())
    named = page.partition("whose name begins with ")[2].partition(";")[0]
    assert set(named.replace(" or ", ", ").replace(",", " ").split()) == set(READS)


# --- results for machines

HOSTILE = "x\n::error::%0A\x1b[31m <&>]]>"


def test_junit_has_every_case_and_why_it_failed(pack: Pack, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    failing = case(name=HOSTILE, resources=[], expect={"matched": [HOSTILE]})
    two = POLICY + "  - {name: other, resource: aws.ec2}\n"
    assert pack(CASE + failing, "--junit", str(file), policies=two)[0] == 2
    suites = ElementTree.parse(file).getroot()  # noqa: S314  (we wrote it)
    found = {
        test.get("name"): [failure.get("message") for failure in test.iter("failure")]
        for test in suites.iter("testcase")
    }
    assert found["a running instance without an owner is tagged"] == []
    assert found["a policy has no case"] == ["other has no case"]
    (hostile,) = [name for name in found if name.startswith("x")]
    assert "\x1b" not in hostile
    assert "was expected" in found[hostile][0]
    assert [suite.get("failures") for suite in suites] == ["1", "1"]


def test_github_gets_one_line_for_each_finding(pack: Pack) -> None:
    failing = case(name=HOSTILE, resources=[], expect={"matched": [HOSTILE]})
    code, said = pack(failing, "--github")
    assert code == 2
    commands = [line for line in said.splitlines() if line.strip().startswith("::")]
    (annotation,) = commands
    path = os.path.relpath(pack.cases).replace(":", "%3A")
    assert annotation.startswith(f"::error file={path},line=2,title=a case failed::unowned: x%0A")
    assert "%250A" in annotation
    assert "\x1b" not in said


def test_a_file_that_cannot_be_written_is_bad_input(pack: Pack, tmp_path: Path) -> None:
    code, said = pack(CASE, "--junit", str(tmp_path / "none" / "junit.xml"))
    assert (code, "cannot write" in said) == (1, True)


# --- nothing of AWS is reached


@pytest.fixture
def outside() -> Callable[[Answers], Any]:
    return lambda answers: offline(answers, now="2026-05-01T12:00:00Z", region="eu-west-1")


def test_no_network_is_reached(outside: Any, pack: Pack) -> None:
    with outside(Answers([])), pytest.raises(OfflineError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    with outside(Answers([])), pytest.raises(OfflineError):
        socket.getaddrinfo("amazonaws.com", 443)
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_the_process_is_as_before_a_run(outside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    before = dict(os.environ)
    with outside(Answers([])):
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_REGION"] == "eu-west-1"
        assert datetime.now(timezone.utc) == datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
    assert dict(os.environ) == before
    assert clouds["aws"] is AWS
    assert datetime.now(timezone.utc).year != 2026 or datetime.now(timezone.utc).month != 5
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(OfflineError):
        Sessions("eu-west-1")().client("sts").get_caller_identity()


def test_clients_are_made_once_and_answer_the_case_that_runs(outside: Any) -> None:
    first, second = (
        Answers([{"call": "sts:GetCallerIdentity", "answer": {"Account": number}}])
        for number in ("111111111111", "222222222222")
    )
    with outside(first):
        client = Sessions("eu-west-1")().client("sts")
        assert client.get_caller_identity()["Account"] == "111111111111"
    with outside(second):
        again = Sessions("eu-west-1")().client("sts")
        assert again.get_caller_identity()["Account"] == "222222222222"
    assert client is again
    assert Sessions("eu-west-1")().client("sts", region_name="us-east-1") is not again


def test_a_sleep_moves_the_clock_and_takes_no_time(outside: Any) -> None:
    import time

    with outside(Answers([])):
        started, clock = time.monotonic(), time.time()
        time.sleep(86400)
        assert time.monotonic() - started == pytest.approx(86400)
        assert time.time() - clock == pytest.approx(86400)


# --- answers


def call(name: str = "s3:GetObject", region: str = "eu-west-1", **params: Any) -> Call:
    return Call(name, params, region)


def test_the_first_answer_that_fits_and_is_left_is_given() -> None:
    model = operation("sts", "GetCallerIdentity")
    answers = Answers(
        [
            {"call": "sts:GetCallerIdentity", "region": "us-east-1", "answer": {"Account": "far"}},
            {"call": "sts:GetCallerIdentity", "times": 2, "answer": {"Account": "first"}},
            {"call": "sts:GetCallerIdentity", "answer": {"Account": "then"}},
        ]
    )
    asked = call("sts:GetCallerIdentity")
    given_ = [answers.answer(asked, model)[1]["Account"] for _ in range(3)]
    assert given_ == ["first", "first", "then"]
    assert answers.answer(asked._replace(region="us-east-1"), model)[1]["Account"] == "far"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ec2:DescribeInstances", False),
        ("inspector2:BatchGetAccountStatus", False),
        ("iam:GenerateCredentialReport", False),
        ("sts:AssumeRole", False),
        ("logs:StartQuery", True),
        ("ec2:RunInstances", True),
        ("elasticache:TestFailover", True),
        ("cloudformation:DetectStackDrift", True),
        ("sqs:ReceiveMessage", True),
    ],
)
def test_what_is_no_read_counts_as_a_change(name: str, changes: bool) -> None:
    assert call(name).changes is changes


@pytest.mark.parametrize(
    ("part", "whole", "fits"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": "1"}, {"a": 1}, False),
        ([1, 2], [2, 1], True),
        ([1], [1, 2], False),
        ([{"a": 1}, {}], [{"a": 1}, {"b": 1}], True),
        ([{}, {"a": 1}], [{"a": 1}, {"b": 1}], True),
        ({"Policy": {"Version": "1"}}, {"Policy": '{"Version": "1", "Statement": []}'}, True),
        ({"Policy": {"Version": "1"}}, {"Policy": "no JSON"}, False),
        ({"Body": "text"}, {"Body": b"text"}, True),
        (
            {"At": datetime(2026, 5, 1, tzinfo=timezone.utc)},
            {"At": "2026-05-01T00:00:00+00:00"},
            True,
        ),
    ],
)
def test_a_part_is_in_the_whole(part: Any, whole: Any, fits: bool) -> None:
    assert part_of(part, whole) is fits


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_as_many_as_can_be_are_paired(wanted: list[int], found: list[int]) -> None:
    """With equality for fitting, the most pairs is the size of the bags' intersection."""
    from collections import Counter

    pairs = paired(wanted, found, int.__eq__)
    assert all(wanted[one] == found[other] for one, other in pairs.items())
    assert len(set(pairs.values())) == len(pairs)
    assert len(pairs) == sum((Counter(wanted) & Counter(found)).values())


def operation(service: str, name: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def test_an_answer_is_as_botocore_would_have_parsed_it() -> None:
    shape = operation("s3", "GetObject").output_shape
    parsed = as_parsed({"Body": "evidence", "LastModified": "2026-05-01"}, shape)
    assert parsed["Body"].read() == b"evidence"
    assert parsed["LastModified"] == datetime(2026, 5, 1, tzinfo=timezone.utc)
    shape = operation("iam", "GetCredentialReport").output_shape
    assert as_parsed({"Content": "user,arn"}, shape) == {"Content": b"user,arn"}
    shape = operation("ssm", "DescribeInstanceInformation").output_shape
    rows = {"InstanceInformationList": [{"LastPingDateTime": 0}]}
    (row,) = as_parsed(rows, shape)["InstanceInformationList"]
    assert row["LastPingDateTime"] == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert as_parsed({}, None) == {}
