"""One account and region at a time: sessions, reasons, counts, and what a sweep keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from c7n.utils import local_session

from c7n_secops.aws.calls import RefusedError
from c7n_secops_tools.fleet import outcome, sessions, unit
from c7n_secops_tools.fleet.ledger import Ledger
from c7n_secops_tools.fleet.local import Died, Inline
from c7n_secops_tools.fleet.outcome import Outcome, Unit
from c7n_secops_tools.fleet.sweep import Sweep
from c7n_secops_tools.fleet.unit import Options
from c7n_secops_tools.report.totals import Report
from tests.emulator import Emulator, organisation
from tests.fleet_accounts import HUB, build, ids, name_of
from tests.harness import ISOLATED

REGION = "us-east-1"
TOPICS: dict[str, Any] = {"name": "topics", "resource": "aws.sns"}
USERS: dict[str, Any] = {"name": "users", "resource": "aws.iam-user"}


class Silent:
    """Progress that nobody sees; it keeps what it was told."""

    def __init__(self) -> None:
        self.number, self.done = 0, 0

    def total(self, number: int) -> None:
        self.number = number

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        self.done += len(outcomes)

    def tick(self) -> None:
        pass


class Here:
    """Sweeps in this process."""

    def __init__(self, emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.emulator, self.folder = emulator, folder
        self.progress = Silent()
        sessions.ambient.cache_clear()
        for name, value in {**ISOLATED, **emulator.environ(HUB), "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)

    def __call__(
        self,
        accounts: dict[str, Any],
        *policies: dict[str, Any],
        regions: Sequence[str] = (),
        resume: bool = False,
        dryrun: bool = False,
        output: str | None = None,
        executor: Any = Inline,
    ) -> Sweep:
        options = Options(output or str(self.folder), 0, str(self.folder), False, dryrun)
        ledger = Ledger.begin(self.folder, resume)
        sweep = Sweep(
            accounts["accounts"],
            policies,
            regions,
            options,
            ledger,
            executor,
            self.progress,
            resume,
        )
        sweep.run()
        return sweep


@pytest.fixture
def here(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(emulator, tmp_path, monkeypatch)


def refuse(emulator: Emulator, service: str, operation: str, code: str, message: str = "") -> None:
    emulator.fault(service, operation, code=code, status=403, message=message, times=None)


# sessions


def test_one_session_and_one_client_of_each_kind_serve_a_policy(
    emulator: Emulator, here: Here
) -> None:
    accounts = build(emulator, ids(1), [REGION])
    emulator.clear_calls()
    here(accounts, TOPICS, USERS)
    asked = [f"{call.service}:{call.operation}" for call in emulator.calls()]
    assert asked.count("sts:AssumeRole") == 1
    assert asked.count("sts:GetCallerIdentity") == 1
    session = sessions.Session(region_name=REGION)
    assert session.client("sns") is session.client("sns")
    assert session.client("sns") is not session.client("sns", region_name="eu-west-1")
    assert session.client("sns") is not session.client("sns", config=None, verify=False)
    regional = {"endpoint_url": "https://sns.eu-west-1.amazonaws.com"}
    assert session.client("sns", **regional) is session.client("sns", **regional)
    assert session.client("sns", **regional) is not session.client("sns")
    first = session.client("sns")
    session.forget()
    assert session.client("sns") is not first


def test_service_models_are_parsed_once_a_process() -> None:
    one, two = sessions.Session(region_name=REGION), sessions.Session(region_name="eu-west-1")
    loaders = {id(each._session.get_component("data_loader")) for each in (one, two)}
    assert len(loaders) == 1
    stock = boto3.Session(region_name=REGION)._session
    assert id(stock.get_component("data_loader")) not in loaders


def test_clients_share_a_class_and_nothing_of_an_account() -> None:
    first, second = (
        sessions.Session(aws_access_key_id=key, aws_secret_access_key=key) for key in ("one", "two")
    )
    for service in ("ec2", "s3"):
        ours, other = (each.client(service, region_name=REGION) for each in (first, second))
        assert type(ours) is type(other)
        assert ours._request_signer._credentials.access_key == "one"
        assert other._request_signer._credentials.access_key == "two"
        assert dir(ours) == dir(boto3.Session().client(service, region_name=REGION))


def test_sessions_share_no_handler_of_their_own() -> None:
    one, two = sessions.Session(region_name=REGION), sessions.Session(region_name=REGION)
    heard: list[str] = []
    one.events.register("probe", lambda **_: heard.append("one"))
    two.events.emit("probe")
    assert heard == []
    one.events.emit("probe")
    assert heard == ["one"]


def test_a_session_that_is_cached_for_the_region_is_not_used(
    emulator: Emulator, here: Here
) -> None:
    one, other = ids(2)
    accounts = build(emulator, [one, other], [REGION])
    local_session(sessions.Sessions(accounts["accounts"].pop(), REGION))
    assert [found.state for found in here(accounts, TOPICS).outcomes] == ["ran"]


def test_roles_are_assumed_in_turn(emulator: Emulator, here: Here) -> None:
    middle, member = ids(2)
    accounts = build(emulator, [middle], [REGION])
    first = accounts["accounts"][0]["role"]
    second = organisation.create_role(
        emulator, member, "Deep", organisation.trust(AWS=f"arn:aws:iam::{middle}:root")
    )
    accounts["accounts"] = [
        {"account_id": member, "name": "deep", "role": [first, second], "regions": [REGION]}
    ]
    emulator.clear_calls()
    (found,) = here(accounts, TOPICS).outcomes
    assert (found.state, found.account_id) == ("ran", member)
    assumed = [call.account for call in emulator.calls("sts", "AssumeRole")]
    assert assumed == [HUB, middle]
    assert {call.account for call in emulator.calls("sns")} == {member}
    assert os.environ["AWS_ACCESS_KEY_ID"] == f"AKIABOOT{HUB}", "the environment is as before"


def test_the_external_id_is_sent(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION], external_id="shared-word")
    emulator.clear_calls()
    here(accounts, TOPICS)
    (call,) = emulator.calls("sts", "AssumeRole")
    assert call.params["ExternalId"] == "shared-word"


def test_a_profile_is_used_where_there_is_no_role(
    emulator: Emulator, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account,) = ids(1)
    config = tmp_path / "aws-config"
    config.write_text(
        f"[profile member]\naws_access_key_id = AKIABOOT{account}\n"
        "aws_secret_access_key = bootstrap-administrator\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    entry = {"account_id": account, "name": "m", "regions": [REGION]}
    good = {"accounts": [{**entry, "profile": "member"}]}
    assert [found.state for found in here(good, TOPICS).outcomes] == ["ran"]
    (bad,) = here({"accounts": [{**entry, "profile": "absent"}]}, TOPICS).outcomes
    assert (bad.state, bad.not_evaluated[0].why) == ("failed", "role not assumed")


# reasons


@pytest.mark.parametrize(
    ("code", "message", "why"),
    [
        ("AccessDenied", "User: x is not authorized to perform: sns:ListTopics", "own permission"),
        ("AccessDenied", "with an explicit deny in a service control policy", "own permission"),
        ("AccessDenied", "because no resource-based policy allows it", "resource policy"),
        ("AuthorizationError", "not authorized", "own permission"),
        ("UnauthorizedOperation", "You are not authorized", "own permission"),
        ("RequestThrottled", "slow down", "throttled"),
        ("InvalidAction", "not valid for this endpoint", "service absent in the region"),
        ("OptInRequired", "not subscribed", "service absent in the region"),
        ("InvalidClientTokenId", "the security token is invalid", "unreachable"),
        ("InternalError", "try later", "unreachable"),
        ("ValidationError", "bad request", "error"),
    ],
)
def test_the_reason_is_that_of_the_refusal(code: str, message: str, why: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "ListTopics")
    found = outcome.of_error(error, absent=False)
    assert (found.why, found.code) == (why, code)
    assert message in found.reason
    refused = outcome.of_error(RefusedError("sns:ListTopics", code, message), absent=False)
    assert refused.why == why


def test_no_answer_is_unreachable_unless_the_region_lacks_the_service() -> None:
    error = EndpointConnectionError(endpoint_url="https://glacier.ca-west-1.amazonaws.com")
    assert outcome.of_error(error, absent=False).why == "unreachable"
    assert outcome.of_error(error, absent=True).why == "service absent in the region"
    assert outcome.of_session(NoCredentialsError()).why == "role not assumed"


def test_a_region_lacks_a_service_only_where_botocore_says_so(
    emulator: Emulator, here: Here
) -> None:
    accounts = build(emulator, ids(1), [REGION, "ca-west-1"])
    emulator.fault("glacier", "*", kind="crash", times=None)
    sweep = here(accounts, {"name": "vaults", "resource": "aws.glacier"}, TOPICS)
    states = {(found.region, found.policy): found.state for found in sweep.outcomes}
    assert states == {
        ("ca-west-1", "vaults"): "service absent in the region",
        ("ca-west-1", "topics"): "ran",
        (REGION, "vaults"): "failed",
        (REGION, "topics"): "ran",
    }


@pytest.mark.parametrize(
    ("code", "state", "why"),
    [
        ("AccessDeniedException", "incomplete", "own permission"),
        ("ThrottlingException", "incomplete", "throttled"),
    ],
)
def test_refused_reads_of_a_filter_are_counted_with_their_reason(
    emulator: Emulator, here: Here, code: str, state: str, why: str
) -> None:
    account, _ = ids(2)
    accounts = build(emulator, [account], [REGION])
    built = organisation.build(
        emulator,
        [organisation.Account(account, "m", "m@example.com")],
        (REGION,),
        2,
        role="Other",
        scenarios=["vulnerable", "vulnerable"],
    )
    policy = {
        "name": "critical",
        "resource": "aws.ec2",
        "filters": [{"type": "inspector-finding", "severity": ["CRITICAL"]}],
        "metadata": {"severity": "low"},
    }
    (well,) = here(accounts, policy).outcomes
    assert (well.state, well.matched, well.severity) == ("ran", len(built.instances), "CRITICAL")
    refuse(emulator, "inspector2", "ListFindings", code)
    (found,) = here(accounts, policy).outcomes
    assert (found.state, found.matched, found.severity) == (state, 0, "")
    assert [(each.why, each.resources) for each in found.not_evaluated] == [(why, 2)]


# counts


def test_what_an_action_does_not_say_is_not_a_zero(emulator: Emulator, here: Here) -> None:
    (account,) = ids(1)
    accounts = build(emulator, [account], [REGION])
    emulator.client("sns", account, REGION).create_topic(Name="t")
    tag = {**TOPICS, "actions": [{"type": "tag", "key": "k", "value": "v"}]}
    (found,) = here(accounts, tag).outcomes
    assert (found.matched, found.acted, found.failed) == (1, None, 0)
    (dry,) = here(accounts, tag, dryrun=True).outcomes
    assert (dry.state, dry.matched, dry.acted) == ("dry run", 1, 0)


def test_results_of_actions_are_counted_also_where_the_output_goes_to_s3(
    emulator: Emulator, here: Here
) -> None:
    (account,) = ids(1)
    accounts = build(emulator, [account], [REGION])
    organisation.build(
        emulator,
        [organisation.Account(account, "m", "m@example.com")],
        (REGION,),
        2,
        role="Other",
        scenarios=["vulnerable", "offline"],
    )
    emulator.client("s3", HUB, REGION).create_bucket(Bucket="output")
    policy = {
        "name": "patch",
        "resource": "aws.ec2",
        "filters": [{"type": "inspector-finding", "severity": ["CRITICAL"]}],
        "actions": [{"type": "ssm-patch"}],
    }
    (found,) = here(accounts, policy, output=f"s3://output/sweep?region={REGION}").outcomes
    assert (found.state, found.matched, found.acted) == ("ran", 2, 1)
    keys = emulator.client("s3", HUB, REGION).list_objects_v2(Bucket="output")["Contents"]
    assert any(f"{name_of(account)}/{REGION}/patch" in key["Key"] for key in keys)


def test_a_policy_whose_conditions_do_not_hold_is_skipped_not_clean(
    emulator: Emulator, here: Here
) -> None:
    accounts = build(emulator, ids(1), [REGION])
    policy = {**TOPICS, "conditions": [{"type": "value", "key": "region", "value": "eu-west-1"}]}
    (found,) = here(accounts, policy).outcomes
    assert (found.state, found.matched) == ("skipped", None)
    named = {**TOPICS, "conditions": [{"type": "value", "key": "account.name", "value": "x"}]}
    assert here(accounts, named).outcomes[0].state == "skipped", "conditions know the account"


def test_the_log_of_a_policy_that_failed_says_why(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION])
    refuse(emulator, "sns", "ListTopics", "AuthorizationError", "not allowed")
    here(accounts, TOPICS)
    (line,) = Report([here.folder]).lines
    assert "AuthorizationError" in line.run.error


# regions


def test_all_regions_are_those_that_the_account_has(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(2), ["all"])
    refuse(emulator, "ec2", "DescribeRegions", "UnauthorizedOperation", "no")
    sweep = here(accounts, TOPICS)
    assert [(found.region, found.state) for found in sweep.outcomes] == [("all", "failed")] * 2
    assert sweep.exit_code(None) == 2
    emulator.clear_faults()
    there = emulator.client("ec2", ids(1)[0], REGION).describe_regions()["Regions"]
    accounts["accounts"] = accounts["accounts"][:1]
    found = {each.region for each in here(accounts, TOPICS).outcomes}
    assert found == {region["RegionName"] for region in there}


def test_regions_of_the_command_line_replace_the_accounts_own(
    emulator: Emulator, here: Here
) -> None:
    accounts = build(emulator, ids(1), [REGION])
    sweep = here(accounts, TOPICS, regions=["eu-west-1,eu-west-2"])
    assert [found.region for found in sweep.outcomes] == ["eu-west-1", "eu-west-2"]
    del accounts["accounts"][0]["regions"]
    assert [found.region for found in here(accounts, TOPICS).outcomes] == [REGION, "us-west-2"]


# resuming


def test_resume_runs_what_did_not_finish_and_what_changed(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION])
    refuse(emulator, "sns", "ListTopics", "AuthorizationError")
    here(accounts, TOPICS, USERS)
    emulator.clear_faults()

    def asked(*policies: dict[str, Any], **options: Any) -> tuple[list[str], int]:
        emulator.clear_calls()
        sweep = here(accounts, *policies, resume=True, **options)
        assert [found.state for found in sweep.unwell] == []
        called = {call.operation for call in emulator.calls() if call.service != "sts"}
        return sorted(called & {"ListTopics", "ListUsers"}), sweep.kept

    assert asked(TOPICS, USERS) == (["ListTopics"], 1)
    assert asked(TOPICS, USERS) == ([], 2)
    assert asked(TOPICS, {**USERS, "filters": [{"UserName": "x"}]}) == (["ListUsers"], 1)
    assert asked(TOPICS, dryrun=True) == (["ListTopics"], 0)


def test_a_sweep_without_resume_forgets_the_earlier_one(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION])
    here(accounts, TOPICS)
    emulator.clear_calls()
    assert here(accounts, TOPICS).kept == 0
    assert len(emulator.calls("sns", "ListTopics")) == 1


# the ledger


UNIT = Unit("a", REGION, "p")


def test_a_unit_is_claimed_once(tmp_path: Path) -> None:
    ledger = Ledger.begin(tmp_path, False)
    assert ledger.claimant(UNIT) is None
    assert [ledger.claim(UNIT), ledger.claim(UNIT)] == [True, False]
    assert str(os.getpid()) in str(ledger.claimant(UNIT))
    assert ledger.claim(Unit("a", REGION, "q"))


def test_a_worker_of_an_earlier_sweep_claims_nothing(tmp_path: Path) -> None:
    earlier = Ledger.begin(tmp_path, False)
    later = Ledger.begin(tmp_path, True)
    assert not earlier.claim(UNIT)
    assert later.claim(UNIT)


def test_a_claim_ends_what_an_earlier_sweep_said(tmp_path: Path) -> None:
    found = Outcome("a", "1" * 12, REGION, "p", "aws.sns", "failed")
    ledger = Ledger.begin(tmp_path, False)
    ledger.finish(found)
    assert ledger.outcome(UNIT) == found
    later = Ledger.begin(tmp_path, True)
    assert later.outcome(UNIT) == found
    later.claim(UNIT)
    assert later.outcome(UNIT) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"not_evaluated": [{"x": 1}]}'])
def test_a_torn_outcome_is_none(tmp_path: Path, text: str) -> None:
    ledger = Ledger.begin(tmp_path, False)
    ledger.finish(Outcome("a", "1" * 12, REGION, "p", "aws.sns", "ran"))
    (file,) = tmp_path.rglob("p.json")
    file.write_text(text)
    assert ledger.outcome(UNIT) is None


# deliveries


class Twice:
    """Delivers each work twice, as a cluster may."""

    def deliver(self, function: Any, pending: Any, tick: Any) -> Any:
        while pending:
            work = pending.popleft()
            first = function(work)
            assert function(work) == []
            yield work, first


class Deadly:
    """Workers that always die before they begin."""

    def __init__(self) -> None:
        self.handed_out = 0

    def deliver(self, function: Any, pending: Any, tick: Any) -> Any:
        while pending:
            self.handed_out += 1
            yield pending.popleft(), Died("process 1 was killed by SIGKILL")


class Forgetful:
    """Answers get lost after the work is done."""

    def deliver(self, function: Any, pending: Any, tick: Any) -> Any:
        while pending:
            function(work := pending.popleft())
            yield work, Died("worker tcp://x died")


def test_a_second_delivery_is_harmless(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(2), [REGION])
    sweep = here(accounts, TOPICS, executor=Twice)
    assert [found.state for found in sweep.outcomes] == ["ran", "ran"]
    assert len(emulator.calls("sns", "ListTopics")) == 2


def test_work_whose_workers_always_die_ends_as_lost(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION])
    deadly = Deadly()
    sweep = here(accounts, TOPICS, USERS, executor=lambda: deadly)
    assert [found.state for found in sweep.outcomes] == ["lost", "lost"]
    assert deadly.handed_out == 3
    assert sweep.exit_code(None) == 2


def test_what_a_dead_worker_had_finished_counts(emulator: Emulator, here: Here) -> None:
    accounts = build(emulator, ids(1), [REGION])
    sweep = here(accounts, TOPICS, USERS, executor=Forgetful)
    assert [found.state for found in sweep.outcomes] == ["ran", "ran"]
    assert (here.progress.number, here.progress.done) == (2, 2)


def test_a_sweep_that_is_interrupted_accounts_for_every_unit(
    emulator: Emulator, here: Here
) -> None:
    accounts = build(emulator, ids(2), [REGION])
    ended: list[Sweep] = []

    class Interrupted(Inline):
        def deliver(self, function: Any, pending: Any, tick: Any) -> Any:
            function(pending.popleft())
            raise KeyboardInterrupt

    original = Sweep.run

    def keep(sweep: Sweep) -> None:
        ended.append(sweep)
        original(sweep)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Sweep, "run", keep)
        with pytest.raises(KeyboardInterrupt):
            here(accounts, TOPICS, executor=Interrupted)
    (sweep,) = ended
    assert [found.state for found in sweep.outcomes] == ["ran", "not run"]
    assert json.loads(json.dumps(sweep.as_json()))["states"] == {"not run": 1, "ran": 1}


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("HIGH", None, 0),
        ("HIGH", "critical", 0),
        ("HIGH", "high", 3),
        ("CRITICAL", "medium", 3),
        ("", "low", 0),
    ],
)
def test_fail_on_counts_the_severity_and_graver_ones(
    severity: str, fail_on: str | None, code: int, here: Here
) -> None:
    sweep = here({"accounts": []})
    sweep.outcomes = [Outcome("a", "1" * 12, REGION, "p", "aws.sns", "ran", severity=severity)]
    assert sweep.exit_code(fail_on) == code
    sweep.outcomes[0].failed = 1
    assert sweep.exit_code(fail_on) == 2, "an action failed"


def test_warming_loads_what_the_policies_call(emulator: Emulator) -> None:
    policy = {
        "name": "critical",
        "resource": "aws.ec2",
        "filters": [{"type": "inspector-finding", "severity": ["CRITICAL"]}],
    }
    made: list[str] = []

    class Spy(sessions.Session):
        def client(self, service_name: str, region_name: str | None = None, **options: Any) -> Any:
            made.append(service_name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unit, "Session", Spy)
        unit.warm([policy])
    assert {"sts", "ec2", "inspector2"} <= set(made)
