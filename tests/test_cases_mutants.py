"""The mutation check, and the shipped packs under it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from c7n_secops_tools.cases.command import test as command
from c7n_secops_tools.cases.mutants import mutants
from c7n_secops_tools.cases.validity import allows_mutant, validator
from c7n_secops_tools.testing.runs import find_policy
from tests.case_packs import CASE, EVENT, EVENT_POLICY, TAGS, Pack, case, pull
from tests.harness import POLICIES
from tests.test_elements import SHIPPED

PACKS = sorted(folder.name for folder in POLICIES.iterdir() if folder.is_dir())


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path)


KINDS = ("aws.ec2",)


def of(*filters: Any, **more: Any) -> set[str]:
    policy = {"name": "p", "resource": "aws.ec2", "filters": list(filters), **more}
    return {str(mutant) for mutant in mutants(policy)}


@pytest.mark.parametrize("name", PACKS)
def test_every_policy_of_a_pack_has_cases_that_notice_each_mutant(name: str) -> None:
    done = CliRunner().invoke(command, [str(POLICIES / name), "--mutate"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("logging", set()),
        ({"State.Name": "running"}, {".State.Name: 'running' became 'c7n-secops-mutant'"}),
        ({"tag:owner": "absent"}, {".tag:owner: 'absent' became 'present'"}),
        ({"tag:owner": "present"}, {".tag:owner: 'present' became 'absent'"}),
        ({"Name": None}, {".Name: null became 'c7n-secops-mutant'"}),
        ({"Monitored": True}, {".Monitored: True became False"}),
        ({"Size": 3}, {".Size: 3 became 4", ".Size: 3 became 2"}),
        (
            {"type": "value", "key": "Size", "op": "gte", "value": 3, "value_type": "integer"},
            {".op: 'gte' became 'lte'", ".value: 3 became 4", ".value: 3 became 2"},
        ),
        (
            {"type": "value", "key": "Name", "op": "in", "value": ["a", "b"]},
            {".op: 'in' became 'not-in'", ".value[0]: dropped", ".value[1]: dropped"},
        ),
        (
            {"type": "inspector-finding", "severity": ["HIGH"], "epss": {"gte": 0.5}},
            {
                ".severity: dropped",
                ".severity[0]: 'HIGH' became 'CRITICAL'",
                ".epss: dropped",
                ".epss.gte: 0.5 became 0.55",
                ".epss.gte: 0.5 became 0.45",
            },
        ),
        (
            {"type": "ssm-agent", "latest": False, "last-ping": {"op": "gt", "hours": 24}},
            {
                ".latest: dropped",
                ".latest: False became True",
                ".last-ping: dropped",
                ".last-ping.op: 'gt' became 'lt'",
                ".last-ping.hours: dropped",
                ".last-ping.hours: 24 became 25",
                ".last-ping.hours: 24 became 23",
            },
        ),
        (
            {"not": [{"tag:a": "x"}]},
            {".not[0].tag:a: 'x' became 'c7n-secops-mutant'"},
        ),
        (
            {"or": ["a", {"and": ["b"]}]},
            {
                ".or[0]: dropped",
                ".or[0]: negated",
                ".or[1]: dropped",
                ".or[1]: negated",
            },
        ),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_filter_has_these_mutants(block: Any, expected: set[str]) -> None:
    always = {"filters[0]: dropped", "filters[0]: negated"}
    assert of(block) == always | {f"filters[0]{name}" for name in expected}


def test_the_rule_of_an_event_mode_and_each_action_have_mutants() -> None:
    mode = {
        "type": "inspector-finding",
        "severities": ["HIGH", "CRITICAL"],
        "pattern": {"detail": {"a": ["x"]}, "region": ["eu-west-1"]},
        "role": "lambda",
        "timeout": 60,
    }
    assert of(mode=mode, actions=["stop", {"type": "tag"}]) == {
        "mode.severities: dropped",
        "mode.severities[0]: dropped",
        "mode.severities[1]: dropped",
        "mode.pattern: dropped",
        "mode.pattern.detail: dropped",
        "mode.pattern.region: dropped",
        "actions[0]: dropped",
        "actions[1]: dropped",
    }


@pytest.mark.parametrize("policy", SHIPPED)
def test_a_mutant_differs_in_its_place_and_the_policy_stays(policy: dict[str, Any]) -> None:
    before = copy.deepcopy(policy)
    broken = [mutant.policy for mutant in mutants(policy)]
    assert policy == before
    assert policy not in broken
    texts = [yaml.safe_dump(each) for each in broken]
    assert len(set(texts)) == len(texts), "two mutants are the same"


def test_a_mutant_that_no_case_notices_is_told(pack: Pack) -> None:
    code, said = pack(CASE, "--mutate", "-v")
    assert code == 0
    assert "filters[0]: dropped: red is 'a running instance without an owner is tagged'" in said
    assert "actions[0]: dropped: red is" in said
    blind = CASE.replace("  - {InstanceId: i-2, State: {Name: stopped}}\n", "")
    code, said = pack(blind, "--mutate")
    assert code == 2
    assert f"{pack.policies}:3: SURVIVED unowned: filters[0]: dropped" in said
    assert said.count("SURVIVED") == 1
    assert "1 survived, 0 may survive" in said


EXCEPTION = """
exceptions:
  unowned:
    mutants:
      allowed: [{{filter: "{place}", reason: "the sweep takes stopped ones too"}}]
cases:
"""


def test_a_mutant_may_survive_for_a_reason_that_is_needed(pack: Pack) -> None:
    blind = CASE.replace("  - {InstanceId: i-2, State: {Name: stopped}}\n", "")
    code, said = pack.whole(EXCEPTION.format(place="filters[0]") + blind, "--mutate", "-v")
    assert code == 0
    assert "filters[0]: dropped: may survive: the sweep takes stopped ones too" in said
    code, said = pack.whole(EXCEPTION.format(place="filters[0]") + CASE, "--mutate")
    assert code == 2
    assert "the exception for filters[0] is not needed: no mutant there survives" in said
    code, said = pack.whole(EXCEPTION.format(place="filters[0]") + CASE)
    assert code == 0, "only the mutation check knows"
    code, said = pack.whole(EXCEPTION.format(place="filters[9]") + blind, "--mutate")
    assert (code, "SURVIVED" in said) == (2, True)


def test_an_exception_of_no_policy_and_one_without_a_reason_are_bad_input(pack: Pack) -> None:
    text = EXCEPTION.format(place="filters[0]") + CASE
    code, said = pack.whole(text.replace("  unowned:\n", "  other:\n", 1))
    assert (code, "has no policy other" in said) == (1, True)
    code, said = pack.whole(text.replace('"the sweep takes stopped ones too"', '""'))
    assert (code, f"{pack.cases}:5: '' " in said) == (1, True)


def test_what_custodian_would_refuse_is_no_mutant(pack: Pack) -> None:
    """Negated, ssm-agent is refused; without its keys, it matches whatever has an agent."""
    policy = pull({"filters": [{"type": "ssm-agent", "absent": True}]})
    row = {"InstanceId": "i-2", "PingStatus": "Online", "AgentVersion": "3.0"}
    answer = {
        "call": "ssm:DescribeInstanceInformation",
        "answer": {"InstanceInformationList": [row]},
    }
    resources = [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]
    made = case(resources=resources, answers=[answer], expect={"matched": ["i-1"]})
    code, said = pack(made, "--mutate", "-v", policies=policy)
    assert code == 0
    assert "negated" not in said
    assert "3 mutants noticed, 0 survived" in said


def test_what_the_schema_refuses_is_no_mutant(pack: Pack) -> None:
    """Without its pattern the mode would fail, and so be noticed, for another reason."""
    answer = {"Reservations": [{"Instances": [{"InstanceId": "i-11111111", "Tags": TAGS}]}]}
    made = {
        "policy": "launched",
        "event": EVENT,
        "answers": [{"call": "ec2:DescribeInstances", "answer": answer}],
        "expect": {"matched": ["i-11111111"], "calls": [{"call": "ec2:CreateTags"}]},
    }
    said = pack(case(**made), "--mutate", "-v", policies=EVENT_POLICY)[1]
    assert "filters[0]: negated: red is 'a case'" in said
    assert "mode.pattern.source: dropped" in said
    assert "mode.pattern: dropped" not in said


@pytest.mark.parametrize("name", ["ec2-ssm-agent-offline", "ec2-contain-on-tag"])
def test_the_quick_check_of_a_mutant_says_what_the_whole_schema_says(name: str) -> None:
    policy = find_policy(POLICIES, name)
    said = [
        (allows_mutant(each.policy), not validator.validate({"policies": [each.policy]}, KINDS))
        for each in mutants(policy)
    ]
    assert {quick for quick, _ in said} == {True, False}
    assert all(quick == whole for quick, whole in said)


def test_a_policy_whose_cases_fail_is_not_mutated(pack: Pack) -> None:
    code, said = pack(CASE.replace("[i-1]\n    calls", "[]\n    calls"), "--mutate")
    assert (code, "0 mutants noticed" in said) == (2, True)


def test_surviving_mutants_are_in_junit_and_among_the_annotations(
    pack: Pack, tmp_path: Path
) -> None:
    blind = CASE.replace("  - {InstanceId: i-2, State: {Name: stopped}}\n", "")
    file = tmp_path / "junit.xml"
    code, said = pack(blind, "--mutate", "--github", "--junit", str(file))
    assert code == 2
    assert "title=a mutant survived::unowned: no case goes red with filters[0]: dropped" in said
    assert "no case goes red with filters[0]: dropped" in file.read_text()
