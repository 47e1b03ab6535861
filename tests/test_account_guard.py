"""The account guard on IAM: who does nothing without a second factor, what policies are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from c7n.config import Config
from c7n.exceptions import PolicyValidationError

from c7n_secops_compliance import mfa
from c7n_secops_tools.testing.runs import load_policy
from tests.cis_scene import ASSUME, READ, Scene
from tests.emulator import Emulator
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, Custodian
from tests.inspector_data import validate

NAME = "c7n-secops-deny-without-mfa"
GUARD = ROOT / "deploy" / "account-guard.yml"
PACK = POLICIES / "account-guard"


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator, ACCOUNT)


def outcomes(run: Any) -> dict[str, tuple[str, str | None]]:
    rows = run.action("deny-without-mfa")["results"]
    return {row["id"]: (row["outcome"], row.get("code")) for row in rows}


def changes(emulator: Emulator) -> list[str]:
    return [call.operation for call in emulator.calls("iam") if call.operation.startswith("Put")]


# --- no request without a second factor ----------------------------------------------------------


def test_users_without_a_second_factor_are_denied_all_else_and_others_are_left_alone(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    scene.user("person", password=True)
    scene.user("safe", password=True, mfa=True)
    scene.user("program", keys=(1,))
    scene.user("exempt", password=True)
    scene.iam.tag_user(UserName="exempt", Tags=[{"Key": "c7n-secops:exempt", "Value": ""}])
    scene.iam.create_user(UserName="service", Path="/service/ci/")
    scene.iam.create_login_profile(UserName="service", Password="Correct-horse-9-battery")
    scene.iam.generate_credential_report()
    planned = custodian("iam-user-deny-without-mfa", dryrun=True)
    rows = json.loads((planned.output / "plan.json").read_text())
    assert {row["id"]: next(iter(row.keys() - {"id", "action"})) for row in rows} == {
        "person": "policy",
        "exempt": "skipped",
        "service": "skipped",
    }
    assert changes(emulator) == []
    run = custodian("iam-user-deny-without-mfa")
    assert outcomes(run) == {
        "person": ("changed", None),
        "exempt": ("skipped", "Exempt"),
        "service": ("skipped", "Exempt"),
    }
    put = scene.iam.get_user_policy(UserName="person", PolicyName=NAME)["PolicyDocument"]
    (deny, *_allows) = put["Statement"]
    assert deny["Condition"] == {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
    assert {"iam:EnableMFADevice", "iam:ChangePassword"} <= set(deny["NotAction"])
    emulator.clear_calls()
    again = custodian("iam-user-deny-without-mfa")
    assert outcomes(again)["person"] == ("skipped", "AlreadyDenied")
    assert changes(emulator) == []


def test_a_policy_that_somebody_changed_is_put_back(scene: Scene, custodian: Custodian) -> None:
    scene.user("person", password=True)
    scene.iam.put_user_policy(UserName="person", PolicyName=NAME, PolicyDocument=READ)
    scene.iam.generate_credential_report()
    assert outcomes(custodian("iam-user-deny-without-mfa")) == {"person": ("changed", None)}


def test_what_aws_refuses_of_one_user_does_not_keep_the_others(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    for name in ("full", "unread", "person"):
        scene.user(name, password=True)
    scene.iam.generate_credential_report()
    emulator.fault(
        "iam", "PutUserPolicy", code="LimitExceeded", contains="UserName=full", times=None
    )
    emulator.fault(
        "iam", "GetUserPolicy", code="AccessDenied", contains="UserName=unread", times=None
    )
    run = custodian("iam-user-deny-without-mfa")
    assert outcomes(run) == {
        "full": ("failed", "LimitExceeded"),
        "unread": ("not-evaluated", "AccessDenied"),
        "person": ("changed", None),
    }
    assert [each["resource"] for each in run.not_evaluated] == ["unread"]


def test_a_user_that_is_deleted_meanwhile_is_no_failure(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    scene.user("person", password=True)
    scene.iam.generate_credential_report()
    emulator.fault("iam", "PutUserPolicy", code="NoSuchEntity", times=None)
    assert outcomes(custodian("iam-user-deny-without-mfa")) == {
        "person": ("skipped", "NoSuchEntity")
    }


def test_a_policy_s_own_options_are_what_is_put(scene: Scene, custodian: Custodian) -> None:
    scene.user("person")
    action = {
        "type": "deny-without-mfa",
        "name": "own",
        "self-manage": False,
        "allow": ["s3:GetObject"],
        "exempt-tag": "robot",
    }
    custodian({"name": "own", "resource": "aws.iam-user", "actions": [action]})
    put = scene.iam.get_user_policy(UserName="person", PolicyName="own")["PolicyDocument"]
    (deny,) = put["Statement"]
    assert "s3:GetObject" in deny["NotAction"]
    assert len(mfa.text(mfa.document(["iam:ChangePassword"]))) < 1024


def created(name: str, event: str = "CreateUser") -> dict[str, Any]:
    return {
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": "iam.amazonaws.com",
            "eventName": event,
            "userIdentity": {"type": "IAMUser", "userName": "administrator"},
            "requestParameters": {"userName": name},
        },
    }


def test_a_new_user_is_denied_at_once(scene: Scene, custodian: Custodian) -> None:
    scene.user("new")
    for event in ("CreateUser", "CreateLoginProfile"):
        custodian("iam-user-new-deny-without-mfa", event=created("new", event))
        assert scene.iam.list_user_policies(UserName="new")["PolicyNames"] == [NAME]
        scene.iam.delete_user_policy(UserName="new", PolicyName=NAME)


# --- what Access Analyzer says -------------------------------------------------------------------


def statement(**change: Any) -> str:
    rule = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **change}
    rule = {key: value for key, value in rule.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [rule]})


PASSES = statement(Action=["iam:PassRole"])
WRONG = statement(Action="s3:GetObjects")
FINE = statement()
ANYBODY = {"Principal": "*"}


def issues(run: Any, key: str) -> dict[str, set[tuple[str, str]]]:
    return {
        each[key]: {(f["document"], f["issueCode"]) for f in each["c7n:PolicyFindings"]}
        for each in run.resources
    }


def test_unsafe_and_wrong_policies_of_iam_are_found_by_document(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    iam = scene.iam
    for name, document in (("passes", PASSES), ("wrong", WRONG), ("fine", FINE), ("same", FINE)):
        iam.create_policy(PolicyName=name, PolicyDocument=document)
    assert issues(custodian("iam-policy-unsafe"), "PolicyName") == {
        "passes": {("version v1", "PASS_ROLE_WITH_STAR_IN_RESOURCE")},
        "wrong": {("version v1", "INVALID_ACTION")},
    }
    assert len(emulator.calls("accessanalyzer", "ValidatePolicy")) == 3
    for name in ("inline", "sound"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=ASSUME)
        iam.put_role_policy(RoleName=name, PolicyName="ok", PolicyDocument=FINE)
    iam.put_role_policy(RoleName="inline", PolicyName="own", PolicyDocument=PASSES)
    iam.create_role(RoleName="trusts", AssumeRolePolicyDocument=ASSUME.replace("Assume", "Asume"))
    assert issues(custodian("iam-role-policy-unsafe"), "RoleName") == {
        "inline": {("inline own", "PASS_ROLE_WITH_STAR_IN_RESOURCE")},
        "trusts": {("trust", "INVALID_ACTION")},
    }
    scene.user("person")
    iam.put_user_policy(UserName="person", PolicyName="own", PolicyDocument=WRONG)
    assert issues(custodian("iam-user-policy-unsafe"), "UserName") == {
        "person": {("inline own", "INVALID_ACTION")}
    }


def test_policies_of_resources_are_found_as_such(scene: Scene, custodian: Custodian) -> None:
    s3, sns, kms = scene.s3, scene.sns, scene.kms
    for name, document in (
        ("wrong", statement(**ANYBODY, Action="s3:GetObjects")),
        ("fine", statement(**ANYBODY, Effect="Deny")),
    ):
        s3.create_bucket(Bucket=name)
        s3.put_bucket_policy(Bucket=name, Policy=document)
    s3.create_bucket(Bucket="without")
    topic = sns.create_topic(Name="wrong")["TopicArn"]
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=statement(Action="sns:Publish")
    )
    sns.create_topic(Name="fine")
    key = kms.create_key(Policy=statement(Action="kms:Decrypt"))["KeyMetadata"]["KeyId"]
    kms.create_key()
    missing = {("policy", "MISSING_PRINCIPAL")}
    assert issues(custodian("s3-policy-unsafe"), "Name") == {
        "wrong": {("policy", "INVALID_ACTION")}
    }
    assert issues(custodian("sns-policy-unsafe"), "TopicArn") == {topic: missing}
    assert issues(custodian("kms-policy-unsafe"), "KeyId") == {key: missing}


def test_level_and_ignore_say_what_is_grave(scene: Scene, custodian: Custodian) -> None:
    iam = scene.iam
    iam.create_policy(PolicyName="twice", PolicyDocument=statement(Action=["s3:Get*", "s3:get*"]))
    iam.create_policy(PolicyName="passes", PolicyDocument=PASSES)
    iam.create_policy(PolicyName="wrong", PolicyDocument=WRONG)

    def found(**options: Any) -> set[str]:
        wanted = {"type": "policy-validation", **options}
        run = custodian({"name": "own", "resource": "aws.iam-policy", "filters": [wanted]})
        return {each["PolicyName"] for each in run.resources}

    assert found(level="ERROR") == {"wrong"}
    assert found() == {"wrong", "passes"}
    assert found(level="SUGGESTION") == {"wrong", "passes", "twice"}
    assert found(ignore=["INVALID_ACTION"]) == {"passes"}


def test_what_cannot_be_read_or_asked_is_not_evaluated(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    scene.iam.create_role(RoleName="role", AssumeRolePolicyDocument=ASSUME)
    scene.s3.create_bucket(Bucket="bucket")
    for service, operation, policy in (
        ("iam", "ListRolePolicies", "iam-role-policy-unsafe"),
        ("accessanalyzer", "ValidatePolicy", "iam-role-policy-unsafe"),
        ("s3", "GetBucketPolicy", "s3-policy-unsafe"),
    ):
        emulator.clear_faults()
        emulator.fault(service, operation, code="AccessDenied", times=None)
        run = custodian(policy)
        assert run.resources == []
        assert [each["code"] for each in run.not_evaluated] == ["AccessDenied"]


def test_a_role_that_is_deleted_meanwhile_is_dropped(
    scene: Scene, emulator: Emulator, custodian: Custodian
) -> None:
    scene.iam.create_role(RoleName="role", AssumeRolePolicyDocument=ASSUME)
    emulator.fault("iam", "ListRolePolicies", code="NoSuchEntity", times=None)
    run = custodian("iam-role-policy-unsafe")
    assert (run.resources, run.not_evaluated) == ([], [])


def test_the_filter_is_refused_inside_not() -> None:
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        validate(
            {
                "name": "own",
                "resource": "aws.iam-policy",
                "filters": [{"not": [{"type": "policy-validation"}]}],
            }
        )


# --- the functions' role -------------------------------------------------------------------------


def test_the_role_holds_what_the_functions_need_and_nothing_else() -> None:
    template = yaml.load(GUARD.read_text(), cfn_yaml())  # noqa: S506  (a safe loader)
    statements = template["Resources"]["GuardPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    held = {
        action
        for statement in statements
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
        if not action.startswith("logs:")
    }
    needed = set()
    for file in PACK.glob("*.yml"):
        for data in yaml.safe_load(file.read_text())["policies"]:
            if "mode" in data:
                config = Config.empty(regions=[REGION], account_id=ACCOUNT)
                needed |= load_policy(data, config, {}).get_permissions()
    assert held == needed


def cfn_yaml() -> type[yaml.SafeLoader]:
    """A loader that takes CloudFormation's short functions for what they stand before."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, _name, node: loader.construct_scalar(node))
    return Loader
