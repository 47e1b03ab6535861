"""The templates in ``deploy/``: valid, real actions, and roles that hold just enough."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint import api as cfnlint
from cfnlint.decode import decode
from policy_sentry.querying.actions import get_actions_for_service

from tests.edge_scene import (
    ALLOWED,
    CACHING_DISABLED,
    behavior,
    distribution,
    endpoint,
    origin,
    rest_api,
)
from tests.emulator import Emulator, running
from tests.fleet_accounts import write
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, environ, run_cli
from tests.inspector_data import finding, launch, sample_event
from tests.waf_scene import BUCKET, Scene, shipped

TEMPLATES = sorted((ROOT / "deploy").glob("*.yml"))
ROLES = ROOT / "deploy" / "account-roles.yml"
WHOLE_SERVICES = {"kms:*", "s3:*"}
"""A key's policy allows its own account everything, a bucket's denies everything without TLS."""
ROLE = f"arn:aws:iam::{ACCOUNT}:role/CloudCustodian"


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def account(enforcing: Emulator) -> Emulator:
    """An account with the stack of roles, and nothing else."""
    enforcing.reset()
    enforcing.client("cloudformation", ACCOUNT, REGION).create_stack(
        StackName="c7n-secops",
        TemplateBody=ROLES.read_text(),
        Parameters=[{"ParameterKey": "SecurityAccountId", "ParameterValue": ACCOUNT}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    return enforcing


def run(emulator: Emulator, folder: Path, policy: Path, *options: str, role: str = ROLE) -> Any:
    command = ["custodian", "run", "-s", folder / "output", "--cache-period", "0", *options]
    return run_cli(
        *command, "--region", REGION, "--assume", role, policy, cwd=folder, env=environ(emulator)
    )


def actions(node: Any) -> Iterator[str]:
    """Every IAM action that a template names."""
    if isinstance(node, dict):
        named = node.get("Action", ())
        listed = [named] if isinstance(named, str) else named
        yield from (name for name in listed if ":" in name)  # rules of a web ACL have an Action too
        for value in node.values():
            yield from actions(value)
    elif isinstance(node, list):
        for value in node:
            yield from actions(value)


class Template(yaml.SafeLoader):
    """Reads CloudFormation's YAML, whose functions are tags."""


Template.add_multi_constructor("!", lambda _loader, suffix, _node: f"!{suffix}")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_valid(template: Path) -> None:
    assert cfnlint.lint_file(template) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_names_only_actions_that_exist(template: Path) -> None:
    named = set(actions(yaml.load(template.read_text(), Template)))  # noqa: S506
    assert named
    named -= WHOLE_SERVICES
    real = {action for service in {a.split(":")[0] for a in named} for action in known(service)}
    assert named - real == set()


def resources(template: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each resource of a template: name, type, properties; Fn::If and the others are kept."""
    data, errors = decode(str(template))
    assert not errors
    for name, made in data["Resources"].items():
        yield name, made["Type"], made.get("Properties", {})


ENCRYPTED: dict[str, tuple[set[str], ...]] = {
    "AWS::DynamoDB::Table": ({"SSESpecification"},),
    "AWS::EFS::FileSystem": ({"Encrypted", "KmsKeyId"},),
    "AWS::Logs::LogGroup": ({"KmsKeyId"},),
    "AWS::OpenSearchService::Domain": (
        {"EncryptionAtRestOptions", "NodeToNodeEncryptionOptions", "DomainEndpointOptions"},
    ),
    "AWS::S3::Bucket": ({"BucketEncryption", "PublicAccessBlockConfiguration"},),
    "AWS::SNS::Topic": ({"KmsMasterKeyId"},),
    "AWS::SQS::Queue": ({"SqsManagedSseEnabled"}, {"KmsMasterKeyId"}),
}
"""What a resource must have one set of."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_what_a_template_makes_is_encrypted(template: Path) -> None:
    for name, kind, given in resources(template):
        wanted = ENCRYPTED.get(kind)
        assert wanted is None or any(keys <= set(given) for keys in wanted), name
        assert given.get("SqsManagedSseEnabled", True) is True, name
        assert given.get("Encrypted", True) is True, name
        if kind == "AWS::KMS::Key":
            assert given["EnableKeyRotation"] is True, name


def statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every statement that says who may do something."""
    if isinstance(node, dict):
        if "Effect" in node and "Principal" in node:
            yield node
        for value in node.values():
            yield from statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from statements(value)


OF_WHOM = ("aws:PrincipalOrgID", "aws:PrincipalAccount", "aws:SourceOrgID")
FROM_WHERE = ("aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID", "kms:EncryptionContext:")
"""Conditions that keep a service from acting for somebody else."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_lets_nobody_in_whom_it_does_not_name(template: Path) -> None:
    for name, kind, given in resources(template):
        for statement in statements(given):
            if statement["Effect"] != "Allow":
                continue
            who, when = json.dumps(statement["Principal"]), json.dumps(statement.get("Condition"))
            if '"*"' in who:
                assert any(key in when for key in OF_WHOM), f"{name}: {who}"
            if '"Service"' in who and kind != "AWS::IAM::Role":
                assert any(key in when for key in FROM_WHERE), f"{name}: {who}"


ELSEWHERE = re.compile(r"arn:aws:|(?<![0-9])[0-9]{12}(?![0-9])|\b(us|eu|ap)-[a-z]+-[0-9]\b")
"""A partition, an account or a region of somebody's own."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_fits_every_account_region_and_partition(template: Path) -> None:
    for name, _, given in resources(template):
        assert not ELSEWHERE.search(json.dumps(given)), name


def test_an_api_s_distribution_counts_before_it_blocks_and_hides_its_key() -> None:
    template = yaml.load((ROOT / "deploy" / "api-edge.yml").read_text(), Template)  # noqa: S506
    assert template["Parameters"]["RateAction"]["Default"] == "Count"
    assert template["Parameters"]["ApiKey"]["NoEcho"] is True
    made = template["Resources"]
    (rule,) = made["WebAcl"]["Properties"]["Rules"]
    assert "RateBasedStatement" in rule["Statement"]
    config = made["Distribution"]["Properties"]["DistributionConfig"]
    behavior = config["DefaultCacheBehavior"]
    assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
    assert behavior["CachePolicyId"] == CACHING_DISABLED
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    (origin,) = config["Origins"]
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert [header["HeaderName"] for header in origin["OriginCustomHeaders"]] == ["x-api-key"]


def known(service: str) -> set[str]:
    return set(get_actions_for_service(service))


def test_the_role_is_enough_to_patch_and_is_needed(account: Emulator, tmp_path: Path) -> None:
    (instance,) = launch(account)
    account.add_findings(ACCOUNT, REGION, [finding(instance)])
    policy = POLICIES / "inspector" / "patch-critical.yml"
    done = run(account, tmp_path, policy)
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path) == ["sent"]

    account.finish_commands(ACCOUNT, REGION)
    iam = account.client("iam", ACCOUNT)
    for name in ("read", "change"):
        arn = f"arn:aws:iam::{ACCOUNT}:policy/c7n-secops-{name}"
        iam.detach_role_policy(RoleName="CloudCustodian", PolicyArn=arn)
        before = len(account.calls("ssm", "SendCommand"))
        denied = run(account, tmp_path, policy)
        assert denied.returncode == 2, denied.stderr
        assert len(account.calls("ssm", "SendCommand")) == before


def test_the_role_that_reads_is_enough_for_a_dry_run_and_changes_nothing(
    account: Emulator, tmp_path: Path
) -> None:
    (instance,) = launch(account)
    account.add_findings(ACCOUNT, REGION, [finding(instance)])
    policy = POLICIES / "inspector" / "patch-critical.yml"
    dry = run(account, tmp_path, policy, "--dryrun", role=f"{ROLE}Read")
    assert dry.returncode == 0, dry.stderr
    (file,) = tmp_path.glob("output/*/resources.json")
    assert [found["InstanceId"] for found in json.loads(file.read_text())] == [instance]
    run(account, tmp_path, policy, role=f"{ROLE}Read")
    sent = account.calls("ssm", "SendCommand")
    assert sent
    assert all(call.status >= 400 for call in sent)


def test_the_function_s_role_is_enough_for_its_event(account: Emulator, tmp_path: Path) -> None:
    (instance,) = launch(account)
    account.add_findings(ACCOUNT, REGION, [finding(instance)])
    done = run(account, tmp_path, POLICIES / "inspector" / "patch-critical-event.yml")
    assert done.returncode == 0, done.stderr
    event = sample_event(
        "inspector2-ec2-package-closed-2024.json", instance, status="ACTIVE", severity="CRITICAL"
    )
    assert account.deliver_event(ACCOUNT, REGION, event) == 1
    function = "custodian-ec2-patch-critical-on-finding"
    (result,) = account.wait_for_lambda(ACCOUNT, REGION, function)
    assert not result["error"], result["log"]
    (call,) = account.calls("ssm", "SendCommand")
    assert call.status == 200


@pytest.fixture
def scene(account: Emulator) -> Scene:
    """Web ACLs in both scopes, and AWS's ranges in a bucket that anybody may read."""
    made = Scene(account)
    made.web_acl()
    made.web_acl("edge", "CLOUDFRONT")
    everyone = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    document = {"Version": "2012-10-17", "Statement": [everyone]}
    made.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
    return made


def write_policy(folder: Path, data: dict[str, Any]) -> Path:
    file = folder / f"{data['name']}.yml"
    file.write_text(yaml.safe_dump({"policies": [data]}))
    return file


def test_the_roles_are_enough_to_block_an_address_and_to_unblock_it(
    account: Emulator, scene: Scene, tmp_path: Path
) -> None:
    kept = ["private", "own-eips", "route53-healthchecks", "cloudfront"]
    name = "account-block-guardduty-address"
    done = run(account, tmp_path, write_policy(tmp_path, shipped(name, protect=kept)))
    assert done.returncode == 0, done.stderr
    sample = Path(__file__).parent / "events" / "guardduty-ec2-network-connection.json"
    event = json.loads(sample.read_text())
    event["detail"]["accountId"] = ACCOUNT
    connection = event["detail"]["service"]["action"]["networkConnectionAction"]
    connection |= {"connectionDirection": "INBOUND", "remoteIpDetails": {"ipAddressV4": "9.9.9.9"}}
    assert account.deliver_event(ACCOUNT, REGION, event) == 1
    (result,) = account.wait_for_lambda(ACCOUNT, REGION, f"custodian-{name}")
    assert not result["error"], result["log"]
    assert scene.blocked("secops-guardduty", "CLOUDFRONT") == {"9.9.9.9/32"}
    assert scene.blocked("secops-guardduty") == {"9.9.9.9/32"}
    assert not [call for call in account.calls("wafv2") if call.status >= 400]

    scene.let_time_pass()
    done = run(account, tmp_path, POLICIES / "edge" / "expire-blocks.yml")
    assert done.returncode == 0, done.stderr
    rule = "custodian-account-expire-guardduty-blocks"
    assert account.fire_schedule(ACCOUNT, REGION, rule) == 1
    account.wait_for_lambda(ACCOUNT, REGION, rule)
    assert scene.blocked("secops-guardduty") == set()


def test_the_roles_are_enough_for_rate_rules_and_subnets(
    account: Emulator, scene: Scene, tmp_path: Path
) -> None:
    arn = scene.waf.list_web_acls(Scope="REGIONAL")["WebACLs"][0]["ARN"]
    scene.load_balancer(arn)
    done = run(account, tmp_path, POLICIES / "edge" / "rate-limit.yml")
    assert done.returncode == 0, done.stderr
    assert "secops-rate" in scene.rules(arn)

    (instance,) = launch(account)
    data = shipped("ec2-subnet-block-guardduty-address")
    data["actions"][0] |= {"from": {"addresses": ["9.9.9.9"]}, "protect": ["private", "own-eips"]}
    del data["actions"][0]["direction"], data["mode"], data["filters"]
    done = run(account, tmp_path, write_policy(tmp_path, data))
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("output/*/action-network-acl-block")
    assert json.loads(file.read_text())["counts"] == {"blocked": 1}, instance
    assert {call.status for call in account.calls("ec2", "CreateTags")} == {200}


def test_the_role_is_enough_to_close_what_is_open_at_the_edge(
    account: Emulator, scene: Scene, tmp_path: Path
) -> None:
    (acl,) = scene.waf.list_web_acls(Scope="CLOUDFRONT")["WebACLs"]
    logs = "arn:aws:s3:::aws-waf-logs-acme"
    open_one = distribution(
        account,
        origin("a.example.com", tls=["TLSv1"]),
        tags=ALLOWED,
        default=behavior(viewers="allow-all"),
        ViewerCertificate={
            "CloudFrontDefaultCertificate": False,
            "ACMCertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1",
            "MinimumProtocolVersion": "TLSv1_2016",
        },
    )
    api = rest_api(account, tags=ALLOWED)
    distribution(account, endpoint(api), WebACLId=acl["ARN"])
    policies = (POLICIES / "edge" / "enforce.yml").read_text()
    for name, value in {"edge_web_acl": acl["Name"], "waf_log_destination": logs}.items():
        policies = policies.replace(f"{{{name}}}", value)
    (tmp_path / "enforce.yml").write_text(policies)
    done = run(account, tmp_path, tmp_path / "enforce.yml")
    assert done.returncode == 0, done.stderr
    refused = [call for call in account.calls() if call.status == 403]
    assert refused == []

    cloudfront = account.client("cloudfront")
    found = cloudfront.get_distribution_config(Id=open_one["Id"])["DistributionConfig"]
    assert found["WebACLId"] == acl["ARN"]
    assert found["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    assert found["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    (source,) = found["Origins"]["Items"]
    assert source["CustomOriginConfig"]["OriginSslProtocols"]["Items"] == ["TLSv1.2"]
    protections = account.client("shield").list_protections()["Protections"]
    assert open_one["ARN"] in {each["ResourceArn"] for each in protections}
    logging = scene.waf.get_logging_configuration(ResourceArn=acl["ARN"])["LoggingConfiguration"]
    assert logging["LogDestinationConfigs"] == [logs]
    (regional,) = account.client("apigateway").get_rest_apis()["items"]
    assert regional["endpointConfiguration"]["types"] == ["REGIONAL"]


def test_the_roles_are_enough_to_deploy_compare_and_clean_up_functions(
    account: Emulator, tmp_path: Path
) -> None:
    def org(command: str, role: str, *options: str) -> Any:
        row = {"account_id": ACCOUNT, "name": "a", "role": role, "regions": [REGION]}
        write(tmp_path, accounts={"accounts": [row]})
        words = ("c7n-secops", "org", "functions", command, "-c", "accounts.yml", "-s", "output")
        env = {**environ(account), "HOME": str(tmp_path)}
        done = run_cli(*words, *options, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shipped_policy = ("-u", str(POLICIES / "inspector" / "patch-critical-event.yml"))
    org("deploy", ROLE, *shipped_policy)
    assert ": 1 same." in org("drift", f"{ROLE}Read", *shipped_policy)
    other: dict[str, Any] = {"name": "other", "resource": "aws.ec2"}
    other["mode"] = {"type": "periodic", "schedule": "rate(1 day)", "role": ROLE}
    write(tmp_path, policies={"policies": [other]})
    assert ": 1 stale." in org("clean", f"{ROLE}Read", "-u", "policies.yml")
    assert ": 1 removed." in org("clean", ROLE, "-u", "policies.yml", "--remove")
    assert not [call for call in account.calls() if call.status == 403]
    assert account.client("lambda", ACCOUNT, REGION).list_functions()["Functions"] == []
    assert account.client("events", ACCOUNT, REGION).list_rules()["Rules"] == []


def outcomes(folder: Path) -> list[str]:
    (file,) = folder.glob("output/*/action-ssm-patch")
    return [result["outcome"] for result in json.loads(file.read_text())["results"]]
