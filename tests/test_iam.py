"""``c7n-secops iam``: what it grants, to whom, on what, and in which form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint import api as cfnlint
from click.testing import CliRunner, Result
from policy_sentry.querying.all import get_all_actions

from c7n_secops_tools.fleet import policies
from c7n_secops_tools.iam import documents, formats, grants, needs, roles
from c7n_secops_tools.iam.command import iam
from c7n_secops_tools.iam.corrections import CORRECTIONS
from c7n_secops_tools.iam.grants import Grant
from c7n_secops_tools.iam.needs import Need
from tests.harness import POLICIES, ROOT
from tests.iam_scene import STOCK
from tests.test_incident_roles import actions_of

TRUST = ("--security-account", "111111111111")
INCIDENTS = POLICIES / "incident-response"
CUSTODIAN_POLICIES = (
    *("ReadPolicy", "ChangePolicy", "EdgeReadPolicy", "EdgeLogsPolicy", "EdgeBlockPolicy"),
    *("EdgeEnforcePolicy", "MembershipPolicy", "FunctionsReadPolicy", "CompliancePolicy"),
    *("FindingsPolicy", "FindingsBucketPolicy"),
)
"""The policies of the role CloudCustodian."""
FILES = sorted(file for file in POLICIES.glob("*/*.yml") if file.stem != "controls")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(iam, [str(word) for word in words])


@pytest.fixture(scope="module")
def shipped() -> list[Any]:
    """All shipped policies, as the command reads them."""
    return roles.loaded(policies.read(FILES), {})


def write(folder: Path, *made: dict[str, Any]) -> Path:
    file = folder / "policies.yml"
    file.write_text(yaml.safe_dump({"policies": list(made)}))
    return file


def policy(name: str = "p", resource: str = "aws.ec2", **more: Any) -> dict[str, Any]:
    return {"name": name, "resource": resource, **more}


def function(name: str = "f", role: str = "arn:aws:iam::{account_id}:role/own", **mode: Any) -> Any:
    how = {"type": "periodic", "schedule": "rate(1 day)", "role": role, **mode}
    return policy(name, mode=how)


def granted(*made: dict[str, Any], **variables: Any) -> dict[str, tuple[str, ...]]:
    """The resources of each action that these policies call when they run."""
    found: dict[str, set[str]] = {}
    for each in roles.loaded(made, variables):
        for need in needs.runtime(each):
            grant = grants.grant(need)
            found.setdefault(grant.action, set()).update(grant.resources)
    return {action: grants.covering(places) for action, places in found.items()}


def acting(resource: str = "aws.ec2", **action: Any) -> dict[str, Any]:
    return policy(resource=resource, actions=[action])


def named(output: str) -> dict[str, Any]:
    """The roles of a JSON answer, by name."""
    return {role["name"]: role for role in json.loads(output)["roles"]}


# --- what is called -----------------------------------------------------------------------------


def test_filters_inside_blocks_and_inside_other_policies_count() -> None:
    inner = {"or": [{"and": [{"type": "ssm-agent", "absent": True}]}, {"not": ["image-age"]}]}
    assert {"ssm:DescribeInstanceInformation", "ec2:DescribeImages"} <= granted(
        policy(filters=[inner])
    ).keys()
    embedded = {
        "resource": "aws.cloudtrail",
        "filters": [{"or": [{"type": "status", "key": "IsLogging", "value": True}]}],
    }
    outer = policy(resource="aws.account", filters=[{"type": "missing", "policy": embedded}])
    assert "cloudtrail:GetTrailStatus" in granted(outer)


def made_of(of: Sequence[Any]) -> list[roles.Role]:
    names = {"run": "CloudCustodian", "deploy": "CloudCustodianDeploy"}
    return roles.roles(of, roles.Trust(("arn:${Partition}:iam::111111111111:root",)), names)


def test_every_action_of_the_shipped_policies_is_one_that_iam_knows(shipped: list[Any]) -> None:
    actions = {grant.action for role in made_of(shipped) for grant in role.grants}
    assert len(actions) > 150
    assert actions - set(get_all_actions()) == set()


def test_an_action_that_iam_does_not_know_is_an_error() -> None:
    with pytest.raises(grants.UnknownActionError, match="filter:x asks for ec2:DescribeNothing"):
        grants.grant(Need("ec2:DescribeNothing", "filter:x", {}))


def test_every_correction_is_of_an_element_that_the_proof_runs(shipped: list[Any]) -> None:
    """The proof runs them all, so a wrong or needless correction fails it."""
    used = {
        id(row)
        for each in [*shipped, *roles.loaded(STOCK, {})]
        for *key, options in elements(each)
        for row in CORRECTIONS.get(tuple(key), ())
        if row.when(options)
    }
    rows = [(key, row) for key, rows in CORRECTIONS.items() for row in rows]
    assert [(key, row.reason) for key, row in rows if id(row) not in used] == []


def elements(of: Any) -> Any:
    """Kind, resource, type and options of each element that a policy has, as ``runtime`` sees."""
    manager = of.resource_manager
    yield "resource", manager.type, "", of.data
    for kind, rows in (("filter", manager.iter_filters()), ("action", manager.actions)):
        for row in rows:
            if hasattr(row, "embedded_policy"):
                yield from elements(row.embedded_policy)
            yield kind, manager.type, row.type, row.data if isinstance(row.data, dict) else {}


# --- on what ------------------------------------------------------------------------------------


def test_commands_topics_roles_keys_and_buckets_are_those_that_the_policy_names() -> None:
    found = granted(acting(type="ssm-update-agent", cooldown="1d"))
    assert found["ssm:SendCommand"] == (
        "arn:${Partition}:ec2:*:${Account}:instance/*",
        "arn:${Partition}:ssm:*:${Account}:managed-instance/*",
        "arn:${Partition}:ssm:*:*:document/AWS-UpdateSSMAgent",
    )
    topic = "arn:aws:sns:{region}:{account_id}:alerts"
    notify = {"type": "notify", "to": ["x"], "transport": {"type": "sns", "topic": topic}}
    assert granted(acting(**notify))["sns:Publish"] == ("arn:${Partition}:sns:*:${Account}:alerts",)
    evidence = {
        "bucket": "evidence",
        "role": "arn:aws:iam::333333333333:role/writer",
        "kms-key": "arn:aws:kms:us-east-1:333333333333:key/1",
    }
    found = granted(acting(type="capture-evidence", **{"case-id": "c"}, **evidence))
    assert found["sts:AssumeRole"] == ("arn:${Partition}:iam::333333333333:role/writer",)
    assert found["kms:Decrypt"] == ("arn:${Partition}:kms:us-east-1:333333333333:key/1",)
    assert found["s3:PutObject"] == ("arn:${Partition}:s3:::evidence/*",)
    assert found["s3:ListBucket"] == ("arn:${Partition}:s3:::evidence",)


@pytest.mark.parametrize(
    ("given", "resource"),
    [
        ({}, "arn:${Partition}:sqs:*:*:*"),
        ({"queue": "https://sqs.eu-west-1.amazonaws.com/444444444444/mail"},
         "arn:${Partition}:sqs:eu-west-1:444444444444:mail"),
    ],
    ids=["without-a-value", "with-one"],
)  # fmt: skip
def test_a_variable_without_a_value_stands_for_any(given: dict[str, str], resource: str) -> None:
    sink = {"type": "sqs", "queue": "{queue}", "to": ["x@example.com"]}
    export = {"type": "export-finding", "accounts": "accounts.yml", "sinks": [sink]}
    found = granted({**acting(**export), "filters": ["inspector-finding"]}, **given)
    assert found["sqs:SendMessage"] == (resource,)


def test_types_of_resources_narrow_what_nothing_names_and_lists_stay_open() -> None:
    found = granted(acting(type="reboot"))
    assert found["ec2:RebootInstances"] == ("arn:${Partition}:ec2:*:${Account}:instance/*",)
    assert found["ec2:DescribeInstances"] == ("*",)
    tags = granted(acting(type="tag", tags={"a": "b"}))["ec2:CreateTags"]
    assert "arn:${Partition}:ec2:*:${Account}:*" in tags
    assert "*" not in tags


def test_a_pattern_that_another_covers_is_left_out() -> None:
    assert grants.covering({"arn:x:rule/*", "arn:x:rule/*/*", "arn:y"}) == ("arn:x:rule/*", "arn:y")


# --- documents ----------------------------------------------------------------------------------


def many(number: int) -> list[Grant]:
    return [Grant(f"ec2:Action{index:04d}", (f"arn:{index}",)) for index in range(number)]


def test_documents_fit_into_a_policy_and_grant_everything_once() -> None:
    made = documents.documents([*many(300), *many(300)])
    assert len(made) > 1
    assert max(len(json.dumps(each, separators=(",", ":"))) for each in made) <= documents.LIMIT
    rows = [row for each in made for row in each["Statement"]]
    actions = [action for row in rows for action in row["Action"]]
    assert actions == sorted({each.action for each in many(300)})


def test_a_statement_that_is_longer_than_a_policy_is_split() -> None:
    wide = [Grant(f"ec2:{'A' * 60}{index:04d}", ("*",)) for index in range(300)]
    tall = [Grant("s3:GetObject", tuple(f"arn:{'b' * 60}{index:04d}" for index in range(300)))]
    for each in (wide, tall):
        made = documents.documents(each)
        assert max(documents.size(document) for document in made) <= documents.LIMIT
        rows = [row for document in made for row in document["Statement"]]
        assert sum(len(row["Action"]) * len(row["Resource"]) for row in rows) == 300


def test_the_size_counts_the_longest_partition_and_account() -> None:
    text = documents.size("arn:${Partition}:iam::${Account}:role/x")
    assert text == len('"arn:aws-us-gov:iam::000000000000:role/x"')


# --- roles --------------------------------------------------------------------------------------


def test_what_runs_what_functions_do_and_what_deploys_are_roles_of_their_own(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, policy(), function())
    done = run(file, *TRUST, "--external-id", "x-1", "--account=" + "2" * 12)
    assert done.exit_code == 0, done.stderr
    found = named(done.stdout)
    assert {name: role["part"] for name, role in found.items()} == {
        "CloudCustodian": "run",
        "own": "functions",
        "CloudCustodianDeploy": "deploy",
    }
    (trust,) = found["CloudCustodian"]["trust"]["Statement"]
    assert trust["Principal"] == {"AWS": ["arn:aws:iam::111111111111:root"]}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "x-1"}}
    (trust,) = found["own"]["trust"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "2" * 12}}
    rows = [
        row
        for each in found["CloudCustodianDeploy"]["policies"]
        for row in each["document"]["Statement"]
    ]
    assert {
        "Effect": "Allow",
        "Action": ["iam:PassRole"],
        "Resource": [f"arn:aws:iam::{'2' * 12}:role/own"],
        "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com"]}},
    } in rows
    places = {place for row in rows for place in row["Resource"]}
    assert f"arn:aws:lambda:*:{'2' * 12}:function:custodian-f" in places
    assert f"arn:aws:events:*:{'2' * 12}:rule/custodian-f" in places


def test_a_member_role_holds_what_the_policy_calls_and_the_function_may_assume_it(
    tmp_path: Path,
) -> None:
    member = "arn:aws:iam::{account_id}:role/member"
    file = write(tmp_path, function(**{"member-role": member}))
    done = run(file, *TRUST)
    found = named(done.stdout)
    assert found["member"]["part"] == "run"
    text = json.dumps(found["own"]["policies"])
    assert "arn:aws:iam::*:role/member" in text
    assert "ec2:DescribeInstances" not in text
    assert "ec2:DescribeInstances" in json.dumps(found["member"]["policies"])


def test_only_the_parts_and_policies_that_are_asked_for_are_printed(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, policy(), function())
    done = run(file, "--part", "functions")
    assert named(done.stdout).keys() == {"own"}
    done = run(file, "-p", "p", *TRUST, "--run-role", "Mine")
    assert named(done.stdout).keys() == {"Mine"}


@pytest.mark.parametrize(
    ("made", "words", "message"),
    [
        (policy(), (), "nobody may assume the role to run; give --principal"),
        (policy(), ("-p", "other", *TRUST), "no such policy"),
        (policy(), ("--security-account", "1"), "--security-account must be twelve digits"),
        (policy(filters=["nothing"]), TRUST, "policy p: "),
        (function(role="arn:aws:iam::1:role/{name}"), TRUST, "--vars-file"),
    ],
    ids=["no-trust", "no-policy", "no-account", "invalid", "role-without-a-name"],
)
def test_bad_input_is_told_and_nothing_is_printed(
    tmp_path: Path, made: Any, words: tuple[str, ...], message: str
) -> None:
    done = run(write(tmp_path, made), *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


def test_the_vars_file_gives_variables_their_values(tmp_path: Path) -> None:
    file = write(tmp_path, function(role="arn:aws:iam::{account_id}:role/{team}"))
    values = tmp_path / "vars.yml"
    values.write_text("team: blue\n")
    done = run(file, *TRUST, "--vars-file", values)
    assert "blue" in named(done.stdout)
    values.write_text("- team\n")
    done = run(file, *TRUST, "--vars-file", values)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "has no variables" in done.stderr


def test_the_shipped_role_of_an_account_has_what_every_pulled_policy_calls(
    shipped: list[Any],
) -> None:
    """Those of incident response have a role of their own; test_incident_roles.py tries it."""
    parts = [*CUSTODIAN_POLICIES, "CustodianRole"]
    allowed = actions_of("account-roles.yml", *parts)
    own = {row["name"] for row in policies.read(sorted(INCIDENTS.glob("*.yml")))}
    lacking = {
        each.name: sorted({need.action for need in needs.runtime(each)} - allowed)
        for each in shipped
        if each.name not in own and not needs.is_function(each)
    }
    assert {name: actions for name, actions in lacking.items() if actions} == {}


# --- forms --------------------------------------------------------------------------------------


def test_the_template_is_valid_in_every_partition_and_always_the_same(
    shipped: list[Any], tmp_path: Path
) -> None:
    text = formats.as_cloudformation(made_of(shipped))
    assert text == formats.as_cloudformation(made_of(shipped[::-1]))
    file = tmp_path / "roles.yml"
    file.write_text(text)
    assert cfnlint.lint_file(file) == []
    assert not re.search(r"arn:aws:(?!iam::aws)", text)
    template = yaml.safe_load(text)["Resources"]
    kinds = {resource["Type"] for resource in template.values()}
    assert kinds == {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}
    properties = [row["Properties"] for row in template.values()]
    assert {row["RoleName"] for row in properties if "RoleName" in row} == {
        "CloudCustodian",
        "CloudCustodianDeploy",
        "c7n-secops-incident-response",
        "c7n-secops-lambda",
    }


def test_terraform_gets_its_own_expressions_and_every_policy_attached(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, policy(), function())
    done = run(file, *TRUST, "--format", "terraform")
    made = json.loads(done.stdout)["resource"]
    assert made["aws_iam_policy"].keys() == made["aws_iam_role_policy_attachment"].keys()
    attached = made["aws_iam_role_policy_attachment"]["own-1"]
    assert attached == {
        "role": "${aws_iam_role.own.name}",
        "policy_arn": "${aws_iam_policy.own-1.arn}",
    }
    text = made["aws_iam_policy"]["own-1"]["policy"]
    place = "arn:${data.aws_partition.current.partition}:logs:*:"
    assert place + "${data.aws_caller_identity.current.account_id}" in text
    assert set(re.findall(r"(?<!\$)\$\{([a-z_]+)", text)) == {"data"}


def test_what_only_looks_like_an_expression_of_terraform_is_left_as_it_is() -> None:
    made = formats.interpolated({"a": "${aws:username} %{if} ${Account}"})
    account = "${data.aws_caller_identity.current.account_id}"
    assert json.loads(made) == {"a": "$${aws:username} %%{if} " + account}


def test_the_pages_name_every_exception_and_correction() -> None:
    from tests.test_iam_proof import EXCEPTIONS

    page = (ROOT / "docs" / "iam.md").read_text()
    exceptions = {action for pack in EXCEPTIONS.values() for action in pack}
    assert [action for action in sorted(exceptions) if action not in page] == []
    corrected = {name or resource for _, resource, name in CORRECTIONS}
    assert [name for name in sorted(corrected) if f"`{name}`" not in page] == []
