"""``c7n-secops replay``: the rule's pattern, and an event through the Lambda handler."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.events.models import EventPattern

from c7n_secops_tools.cases import function, policies
from c7n_secops_tools.cases.offline import Sessions
from c7n_secops_tools.replay.command import replay as command
from c7n_secops_tools.replay.pattern import PatternError, matches, mismatches
from tests.case_packs import EVENT, EVENT_POLICY, TAGS, case
from tests.emulator import Emulator
from tests.harness import ACCOUNT, POLICIES, REGION
from tests.inspector_data import launch

INSPECTOR = POLICIES / "inspector"
PATCH = INSPECTOR / "patch-critical-event.yml"
PATCH_CASES = INSPECTOR / "tests" / "patch-critical-event.yml"

# --- patterns


@pytest.mark.parametrize(
    ("condition", "hits", "misses"),
    [
        ("eu", ["eu", ["us", "eu"]], ["EU", "us", [], None, {"eu": 1}]),
        (7, [7, 7.0, [1, 7]], ["7", 8, True]),
        (1, [1], [True]),
        (True, [True], [1, "true", False]),
        (None, [None], ["", 0]),
        ({"prefix": "eu-"}, ["eu-west-1"], ["us-eu-", 7]),
        ({"prefix": {"equals-ignore-case": "EU-"}}, ["eu-west-1", "Eu-1"], ["us-1"]),
        ({"suffix": "-1"}, ["eu-west-1"], ["eu-west-2", -1]),
        ({"suffix": {"equals-ignore-case": ".PNG"}}, ["a.png"], ["a.jpg"]),
        ({"equals-ignore-case": "Alice"}, ["aLICE"], ["alices", 1]),
        (
            {"wildcard": "dir/*.png"},
            ["dir/a.png", "dir/.png", "dir/a/b.png"],
            ["dirs/a.png", "dir/a.pngs"],
        ),
        ({"wildcard": "a\\*b\\\\"}, ["a*b\\"], ["axb\\", "a*b"]),
        ({"anything-but": "eu"}, ["us", 1, ["eu", "us"]], ["eu", []]),
        ({"anything-but": ["eu", 3]}, ["us"], ["eu", 3]),
        ({"anything-but": {"prefix": "eu"}}, ["us"], ["eu-west-1"]),
        ({"anything-but": {"suffix": ["1", "2"]}}, ["a3"], ["a1", "a2"]),
        ({"anything-but": {"wildcard": "*/lib/*"}}, ["a/b"], ["a/lib/b"]),
        ({"numeric": [">=", 7]}, [7, 8.5], [6.9, "7", True]),
        ({"numeric": [">", 0, "<=", 5]}, [5, 0.1], [0, 5.1]),
        ({"numeric": ["=", 3e2]}, [300], [301]),
        ({"cidr": "10.0.0.0/24"}, ["10.0.0.255"], ["10.0.1.0", "ten"]),
        ({"cidr": "2001:db8::/32"}, ["2001:db8::1"], ["2001:db9::1", "10.0.0.1"]),
        ({"exists": True}, ["x", 0, False, ["x"]], [[], {"a": 1}]),
        ({"exists": False}, [[], {"a": 1}], ["x", 0]),
    ],
    ids=str,
)
def test_a_condition_matches_as_documented(
    condition: Any, hits: list[Any], misses: list[Any]
) -> None:
    pattern = {"detail": {"key": [condition]}}
    assert [matches(pattern, {"detail": {"key": value}}) for value in hits] == [True] * len(hits)
    assert [matches(pattern, {"detail": {"key": value}}) for value in misses] == [False] * len(
        misses
    )


def test_a_field_that_is_not_there_matches_only_its_absence() -> None:
    for event in ({}, {"detail": {}}, {"detail": "text"}, {"detail": None}):
        assert not matches({"detail": {"key": ["x"]}}, event)
        assert not matches({"detail": {"key": [{"anything-but": "x"}]}}, event)
        assert matches({"detail": {"key": [{"exists": False}]}}, event)
        assert matches({"detail": {"key": ["x", {"exists": False}]}}, event)


def test_every_field_must_match_and_any_of_or() -> None:
    pattern = {"source": ["a"], "$or": [{"x": [1]}, {"y": [{"numeric": [">", 5]}]}]}
    assert matches(pattern, {"source": "a", "x": 1})
    assert matches(pattern, {"source": "a", "y": 6})
    assert not matches(pattern, {"source": "a", "x": 2, "y": 5})
    assert not matches(pattern, {"source": "b", "x": 1})


def test_one_object_of_an_array_must_have_it_all() -> None:
    pattern = {"resources": {"type": ["instance"], "id": ["i-1"]}}
    assert matches(pattern, {"resources": [{"type": "image"}, {"type": "instance", "id": "i-1"}]})
    apart = [{"type": "instance", "id": "i-2"}, {"type": "image", "id": "i-1"}]
    assert not matches(pattern, {"resources": apart})


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ({"a": "x"}, "a must be an object or an array"),
        ({"a": []}, "a must be an object or an array"),
        ({"a": [{"like": "x"}]}, "like is not a condition"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "must have one key"),
        ({"a": [{"prefix": 1}]}, "1 must be a text"),
        ({"a": [{"numeric": [">"]}]}, "comparisons and numbers by turns"),
        ({"a": [{"numeric": ["~", 1]}]}, "comparisons and numbers by turns"),
        ({"a": [{"cidr": "net"}]}, "cidr 'net'"),
        ({"a": [{"prefix": {"regex": "x"}}]}, "must be equals-ignore-case"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: dict[str, Any], said: str) -> None:
    with pytest.raises(PatternError, match=said):
        matches(pattern, {"a": "x"})


SCALARS = st.one_of(st.text("abE", max_size=3), st.integers(-3, 3), st.booleans(), st.none())
LEAVES = st.one_of(SCALARS, st.lists(SCALARS, min_size=1, max_size=3))
EVENTS = st.recursive(
    st.dictionaries(st.sampled_from("xyz"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), st.one_of(LEAVES, inner), max_size=3),
    max_leaves=6,
)
TEXTS = st.text("abE", min_size=1, max_size=2)
CONDITIONS = st.one_of(
    SCALARS,
    TEXTS.map(lambda text: {"prefix": text}),
    TEXTS.map(lambda text: {"suffix": text}),
    TEXTS.map(lambda text: {"equals-ignore-case": text}),
    st.lists(TEXTS, min_size=1, max_size=2).map(lambda texts: {"anything-but": texts}),
    st.integers(-3, 3).map(lambda number: {"numeric": ["<", number]}),
    st.booleans().map(lambda truth: {"exists": truth}),
)
PATTERNS = st.recursive(
    st.dictionaries(
        st.sampled_from("xyz"), st.lists(CONDITIONS, min_size=1, max_size=2), max_size=2
    ),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=3,
)


def comparable(value: Any) -> bool:
    """Whether moto knows the difference: to it True is 1, and a mapping is a leaf that exists."""
    if isinstance(value, dict):
        return bool(value) and all(map(comparable, value.values()))
    if isinstance(value, list):
        return all(map(comparable, value))
    return not isinstance(value, bool)


@settings(deadline=None)
@given(PATTERNS.filter(bool), EVENTS.filter(comparable))
def test_patterns_match_as_in_the_second_implementation(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    if any(isinstance(item, bool) for item in scalars(pattern)):
        return
    other = EventPattern(json.dumps(pattern), pattern).matches_event(event)
    assert matches(pattern, event) == other


def scalars(value: Any) -> list[Any]:
    """The values in a pattern, but for those of exists."""
    if isinstance(value, dict):
        return [item for key, each in value.items() if key != "exists" for item in scalars(each)]
    if isinstance(value, list):
        return [item for each in value for item in scalars(each)]
    return [value]


@settings(deadline=None)
@given(PATTERNS, EVENTS)
def test_what_keeps_a_rule_from_matching_is_told_exactly_then(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    assert bool(list(mismatches(pattern, event))) is not matches(pattern, event)


# --- replays

ANSWERS = ["--answers", "cases.yml"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("event.json", "policy.yml", "cases.yml")}
    found["event.json"].write_text(json.dumps(EVENT))
    found["policy.yml"].write_text(EVENT_POLICY)
    return found


def replay(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(command, list(map(str, arguments)))
    return done.exit_code, done.output


def test_a_replay_with_answers_tells_what_the_actions_would_call(tmp_path: Path) -> None:
    """A shipped policy, its own cases as answers."""
    cases = yaml.safe_load(PATCH_CASES.read_text())["cases"]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(cases[0]["event"]))
    code, said = replay(event, PATCH, "--answers", PATCH_CASES)
    assert code == 0
    assert "rule: matches the event\nmatched: i-11111111\n" in said
    assert 'call: ssm:SendCommand {"Comment": "c7n-secops ' in said
    event.write_text(json.dumps(cases[-1]["event"]))
    code, said = replay(event, PATCH, "--answers", PATCH_CASES)
    assert code == 3
    assert "rule: does not match the event; the function would not start" in said
    assert "detail.severity is 'HIGH', and the rule wants ['CRITICAL']" in said
    code, said = replay(event, PATCH, "--answers", PATCH_CASES, "--format", "json")
    assert (code, json.loads(said)["delivered"]) == (3, False)


def test_a_case_of_the_file_may_be_chosen(tmp_path: Path) -> None:
    cases = yaml.safe_load(PATCH_CASES.read_text())["cases"]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(cases[0]["event"]))
    chosen = (
        "--answers",
        PATCH_CASES,
        "--case",
        "an instance that its owner excluded is not patched",
    )
    code, said = replay(event, PATCH, *chosen)
    assert (code, "matched: nothing" in said, "call:" in said) == (0, True, False)


def test_a_call_that_has_no_answer_is_told(files: dict[str, Path]) -> None:
    files["cases.yml"].write_text("cases:\n" + case(policy="launched", expect={"matched": []}))
    code, said = replay(files["event.json"], files["policy.yml"], "--answers", files["cases.yml"])
    assert code == 2
    assert "no answer for the call ec2:DescribeInstances" in said


def test_json_has_the_resources_and_the_calls(files: dict[str, Path]) -> None:
    answer = {"Reservations": [{"Instances": [{"InstanceId": "i-11111111", "Tags": TAGS}]}]}
    answers = [
        {"call": "ec2:DescribeInstances", "answer": answer},
        {"call": "ec2:CreateTags", "answer": {}},
    ]
    text = case(policy="launched", answers=answers, expect={"matched": []})
    files["cases.yml"].write_text(f"cases:\n{text}")
    code, said = replay(
        files["event.json"],
        files["policy.yml"],
        *("--answers", files["cases.yml"], "--format", "json"),
    )
    found = json.loads(said)
    assert (code, found["matched"], found["error"]) == (0, ["i-11111111"], "")
    (made,) = found["calls"]
    assert (made["call"], made["region"]) == ("ec2:CreateTags", "us-east-1")


@pytest.fixture
def launched(emulator: Emulator, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """An instance in the emulator, which AWS's variables lead to, and the event of its launch."""
    (instance,) = launch(emulator)
    for name, value in emulator.environ(ACCOUNT, REGION).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    event = {**EVENT, "account": ACCOUNT, "region": REGION, "detail": {"instance": instance}}
    files["event.json"].write_text(json.dumps(event))
    emulator.clear_calls()
    return instance


def tags_of(emulator: Emulator, instance: str) -> dict[str, str]:
    client = emulator.client("ec2", ACCOUNT, REGION)
    (row,) = client.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}


def test_a_replay_changes_nothing_unless_it_is_live(
    emulator: Emulator, files: dict[str, Path], launched: str
) -> None:
    code, said = replay(files["event.json"], files["policy.yml"])
    assert code == 0, said
    assert f"matched: {launched}" in said
    assert "not run without --live: tag" in said
    assert "launched" not in tags_of(emulator, launched)
    code, said = replay(files["event.json"], files["policy.yml"], "--live")
    assert code == 0, said
    assert f'call: ec2:CreateTags {{"DryRun": false, "Resources": ["{launched}"]' in said
    assert tags_of(emulator, launched)["launched"] == ACCOUNT


def test_a_dry_replay_shows_the_plans_of_our_actions(files: dict[str, Path], launched: str) -> None:
    policy = yaml.safe_load(EVENT_POLICY)
    policy["policies"][0]["actions"] = [{"type": "ssm-patch", "operation": "Scan"}]
    files["policy.yml"].write_text(yaml.safe_dump(policy))
    code, said = replay(files["event.json"], files["policy.yml"])
    assert code == 0, said
    plan = next(line for line in said.splitlines() if line.startswith("plan: "))
    assert json.loads(plan.removeprefix("plan: ")) == {
        "action": "ssm-patch",
        "InstanceId": launched,
        "document": "AWS-RunPatchBaseline",
        "operations": ["Scan"],
    }


def test_a_filter_that_would_change_something_is_held_back(
    files: dict[str, Path], launched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c7n.resources.ec2 import EC2

    def process(self: Any, resources: Any, event: Any) -> Any:
        client = self.manager.session_factory().client("ec2")
        return client.terminate_instances(InstanceIds=[launched])

    monkeypatch.setattr(EC2.filter_registry["ebs"], "process", process)
    policy = yaml.safe_load(EVENT_POLICY)
    policy["policies"][0]["filters"] = ["ebs"]
    files["policy.yml"].write_text(yaml.safe_dump(policy))
    code, said = replay(files["event.json"], files["policy.yml"])
    assert code == 2
    assert "failed: HeldBackError: a filter would call ec2:TerminateInstances" in said


def test_an_error_of_the_policy_exits_2(
    emulator: Emulator, files: dict[str, Path], launched: str
) -> None:
    emulator.fault("ec2", "CreateTags", code="UnauthorizedOperation", status=403)
    code, said = replay(files["event.json"], files["policy.yml"], "--live")
    assert code == 2
    assert "failed: ClientError: " in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["event.json", "pull.yml"], "choose with -p one of the policies that events start: none"),
        (["event.json", "two.yml"], "choose with -p one of the policies that events start: a, b"),
        (
            ["event.json", "two.yml", "-p", "c"],
            "has no policy c that events start; there are: a, b",
        ),
        (["policy.yml", "policy.yml"], "cannot be read as JSON"),
        (["list.json", "policy.yml"], "it holds no JSON object"),
        (["event.json", "event.json"], "it needs a list under policies"),
        (["event.json", "policy.yml", "--live", "--answers", "cases.yml"], "choose one"),
        (["event.json", "policy.yml", "--vars-file", "list.json"], "must be a mapping"),
        (["event.json", "policy.yml", "--answers", "event.json"], "event.json:1: "),
        (["event.json", "policy.yml", "--case", "x"], "--case is of a case file"),
        (
            ["event.json", "policy.yml", *ANSWERS, "--case", "x"],
            "has no case x of the policy launched",
        ),
        (["event.json", "odd.yml"], "like is not a condition"),
        (["event.json", "bad.yml"], "Error: "),
    ],
)
def test_bad_input_exits_1(
    files: dict[str, Path], tmp_path: Path, arguments: list[str], said: str
) -> None:
    files["cases.yml"].write_text("cases:\n" + case(policy="launched", expect={"matched": []}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "pull.yml").write_text("policies: [{name: a, resource: aws.ec2}]")
    (policy,) = yaml.safe_load(EVENT_POLICY)["policies"]
    named = [{**policy, "name": name} for name in "ab"]
    (tmp_path / "two.yml").write_text(yaml.safe_dump({"policies": named}))
    odd = copy.deepcopy(policy)
    odd["mode"]["pattern"]["source"] = [{"like": "acme"}]
    (tmp_path / "odd.yml").write_text(yaml.safe_dump({"policies": [odd]}))
    bad = {**policy, "filters": [{"type": "ssm-agent", "ping-status": ["Offline"]}]}
    (tmp_path / "bad.yml").write_text(yaml.safe_dump({"policies": [bad]}))
    paths = [tmp_path / each if "." in each else each for each in arguments]
    code, output = replay(*paths)
    assert code == 1, output
    assert said in output


# --- exactly as in Lambda


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("inspector/patch-critical-event.yml", "ec2-patch-critical-on-finding"),
        ("incident-response/contain-guardduty.yml", "ec2-contain-on-guardduty"),
        ("incident-response/contain-tagged.yml", "ec2-contain-on-tag"),
    ],
)
def test_the_handler_gets_what_deployment_packs(
    file: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from c7n import handler as stock

    packed: dict[str, Any] = {}

    def run(event: Any, context: Any) -> None:
        packed.update(stock.policy_data)

    monkeypatch.setattr(function.handler, "run", run)
    policy = policies.policies_in(POLICIES / file)[name]
    place = policies.Place("111122223333", "eu-west-1", {"security_contact": "a@example.com"})
    monkeypatch.setenv("AWS_DEFAULT_REGION", place.region)
    loaded = policies.provisioned(policy, place, Sessions(place.region))
    function.invoke(loaded, {}, place, tmp_path)
    mode = loaded.get_execution_mode()
    archive = mode.policy_lambda(loaded).get_archive()
    with zipfile.ZipFile(io.BytesIO(archive.get_bytes())) as content:
        deployed = json.loads(content.read("config.json"))
    assert packed["policies"] == deployed["policies"]
    account = {"account_id": place.account}  # which a function asks STS for
    assert packed["execution-options"] == {**deployed["execution-options"], **account}


def test_the_rule_is_the_one_that_deployment_makes() -> None:
    place = policies.Place("111122223333", "eu-west-1")
    policy = policies.policies_in(POLICIES / "incident-response" / "contain-guardduty.yml")
    loaded = policies.provisioned(policy["ec2-contain-on-guardduty"], place, Sessions(place.region))
    (pattern,) = function.rule_patterns(loaded)
    loaded.data["mode"]["resource-filter"] = "Instance"  # as Custodian's provision() sets it
    (source,) = loaded.get_execution_mode().policy_lambda(loaded).get_events(None)
    assert pattern == json.loads(source.render_event_pattern())
