"""Every shipped policy runs to its end under exactly the role that is generated for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import edge_logs, test_cis as cis, test_edge_posture as posture, test_http_flood as floods, test_network_acl_block as subnets, test_waf_guardduty as waf_guardduty, edge_scene as edge, waf_scene
from tests.emulator import Emulator, running
from tests.iam_scene import Prover


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def prove(enforcing: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prover:
    enforcing.reset()
    return Prover(enforcing, tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _every_prefix_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 Control puts the account before the host's name, where ours is an address."""
    resolve = socket.getaddrinfo

    def here(host: str, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host.endswith(".127.0.0.1") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)



def tell(prove, data, **more):
    name = data if isinstance(data, str) else data["name"]
    try:
        p = prove(data, **more)
    except Exception as e:
        p = prove.proofs.get(name)
        print("RAISED", name, type(e), str(e)[:300])
        if p is None: return
    if p.refused: print(name, "REFUSED", [r[:150] for r in sorted(p.refused)])
    if p.run and p.run.not_evaluated: print(name, "NOTEV", str(p.run.not_evaluated)[:400])
    if p.run: print(name, "MATCHED", len(p.run.resources), {n.name: str(p.run.action(n.name[7:]))[:150] for n in p.run.output.glob("action-*")})

def report(prove):
    for name, p in prove.proofs.items():
        if p.granted != p.needed: print(name, "idle", sorted(p.granted - p.needed), "ungranted", sorted(p.needed - p.granted))

def test_cis(prove: Prover) -> None:
    scene = cis.Scene(prove.emulator, cis.BROKEN)
    cis.make_sound(scene)
    cis.plant(scene)
    for policy in cis.policies():
        tell(prove, policy, account=cis.BROKEN)
    report(prove)

def test_edge(prove, monkeypatch):
    emulator = prove.emulator
    from c7n_secops_edge import protected
    monkeypatch.setattr(protected, "_fetched", {})
    monkeypatch.setattr(socket, "gethostbyaddr", waf_guardduty_nameless)
    import yaml
    from tests.harness import POLICIES
    scene = waf_scene.Scene(emulator)
    s3 = emulator.client("s3")
    for b in ("logs", "edge-logs", "aws-waf-logs-edge"): s3.create_bucket(Bucket=b)
    acl = edge.web_acl(emulator, "edge", edge.group_rule(edge.rule_group(emulator, edge.rate_rule())))
    d = edge.distribution(emulator, tags=edge.ALLOWED)
    posture.deliver(emulator, d)
    logging = {"Enabled": True, "IncludeCookies": False, "Bucket": "edge-logs.s3.amazonaws.com", "Prefix": "cdn/"}
    protectedd = edge.distribution(emulator, WebACLId=acl, Logging=logging, tags=edge.ALLOWED)
    s3.put_object(Bucket="edge-logs", Key=floods.key_of(protectedd["Id"]), Body=floods.cloudfront(edge_logs.burst("9.9.9.9", 3, [450] * 5)))
    plain = edge.distribution(emulator, edge.origin("o.example.com", tls=["TLSv1"], protocol="https-only"), default=edge.behavior(viewers="allow-all"), tags=edge.ALLOWED, ViewerCertificate={"CloudFrontDefaultCertificate": False, "ACMCertificateArn": f"arn:aws:acm:us-east-1:1:certificate/1", "MinimumProtocolVersion": "TLSv1"})
    caught = edge.distribution(emulator, "o.example.com", edge.behavior(PathPattern="/api/*", methods=edge.EVERY_METHOD, policy=edge.CACHING_OPTIMIZED), tags=edge.ALLOWED)
    regional = floods.make_web_acl(emulator)
    silent = edge.web_acl(emulator, "silent", edge.group_rule(edge.rule_group(emulator, edge.rate_rule(), scope="REGIONAL")), scope="REGIONAL")
    balancer = floods.make_balancer(emulator)
    emulator.client("elbv2").add_tags(ResourceArns=[balancer], Tags=[{"Key": "c7n-secops:edge", "Value": "enforce"}])
    emulator.client("wafv2").associate_web_acl(WebACLArn=regional, ResourceArn=balancer)
    s3.put_object(Bucket="edge-logs", Key=floods.balancer_key(balancer), Body=edge_logs.load_balancer(edge_logs.burst("9.9.9.9", 3, [450] * 5)))
    stage = floods.make_stage(emulator, regional)
    body = edge_logs.waf(edge_logs.burst("9.9.9.9", 0, [60], status=403))
    s3.put_object(Bucket="aws-waf-logs-edge", Key=floods.web_acl_key(), Body=body)
    api = edge.rest_api(emulator, tags=edge.ALLOWED)
    edge.method(emulator, api, "GET", key=True)
    edge.distribution(emulator, edge.origin(edge.endpoint(api), headers={"X-Api-Key": "k"}), WebACLId=acl)
    where = edge.zone(emulator)
    domain = edge.custom_domain(emulator, "api.example.com", api)
    edge.record(emulator, where, "api.example.com", "ALIAS", domain["regionalDomainName"])
    subnet = subnets.Subnet(emulator)
    files = ["posture", "floods", "enforce", "rate-limit", "block-floods", "block-guardduty", "block-subnets", "expire-blocks"]
    for f in files:
        for data in yaml.safe_load((POLICIES / "edge" / f"{f}.yml").read_text())["policies"]:
            more = {}
            if data.get("actions") and isinstance(data["actions"][0], dict) and "protect" in data["actions"][0] or "block" in data["name"] and "expire" not in data["name"]:
                data["actions"][0]["ip-ranges"] = waf_scene.RANGES
            if data.get("mode", {}).get("type") == "guard-duty":
                more["event"] = subnets.finding(subnet.instance)
            if "expire" in data["name"]:
                scene.let_time_pass(); scene.let_time_pass("CLOUDFRONT"); subnet.let_time_pass()
            tell(prove, data, variables=posture.VARIABLES, **more)
    report(prove)

def waf_guardduty_nameless(address):
    raise socket.herror(1, "Unknown host")


import yaml
from tests import guardduty_fleet as gd, incident_scene as ir, inspector_data as insp, ssm_fleet, test_incident_roles as irr
from tests.harness import ACCOUNT, POLICIES, REGION

def of(pack, file=None):
    return [p for f in sorted((POLICIES / pack).glob(f"{file or '*'}.yml")) for p in yaml.safe_load(f.read_text())["policies"]]

def test_instances(prove, monkeypatch, tmp_path):
    emulator = prove.emulator
    monkeypatch.chdir(tmp_path)
    gd.accounts_file(gd.ANNA)
    V = {**gd.VARIABLES, "findings_bucket": "acme-findings", "findings_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", "mailer_queue": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/c7n-mailer"}
    emulator.client("s3").create_bucket(Bucket="acme-findings")
    emulator.client("sqs").create_queue(QueueName="c7n-mailer")
    emulator.client("sns").create_topic(Name="c7n-secops-alerts")
    emulator.client("securityhub").enable_security_hub()
    emulator.client("firehose").create_delivery_stream(DeliveryStreamName="c7n-secops-guardduty", S3DestinationConfiguration={"RoleARN": f"arn:aws:iam::{ACCOUNT}:role/x", "BucketARN": "arn:aws:s3:::acme-findings"})
    emulator.client("events").create_event_bus(Name="security")
    det = emulator.client("guardduty").create_detector(Enable=True)["DetectorId"]
    emulator.client("guardduty").create_sample_findings(DetectorId=det, FindingTypes=["Backdoor:EC2/Spambot"])
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="ENABLED", ecr="ENABLED", lambda_="ENABLED")
    a, b = ssm_fleet.launch(emulator, 2, {"patch-reboot": "allowed", "ssm-packages": "managed"}, AgentVersion="2.3.900.0", PingStatus="Online")
    c, = ssm_fleet.launch(emulator, 1)
    for i in (a, b):
        ssm_fleet.find(emulator, i, exploitAvailable="YES", fixAvailable="YES")
        emulator.set_patch_state(ACCOUNT, REGION, i, InstalledPendingRebootCount=1)
    repo = emulator.client("ecr"); repo.create_repository(repositoryName="app"); repo.put_image(repositoryName="app", imageManifest='{"schemaVersion": 2, "layers": [], "config": {"digest": "a"}}', imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json", imageTag="a")
    emulator.client("iam").create_role(RoleName="fn", AssumeRolePolicyDocument=ssm_fleet_trust())
    import io, zipfile
    buf = io.BytesIO(); z = zipfile.ZipFile(buf, "w"); z.writestr("a.py", "x=1"); z.close()
    emulator.client("lambda").create_function(FunctionName="f", Runtime="python3.11", Role=f"arn:aws:iam::{ACCOUNT}:role/fn", Handler="a.b", Code={"ZipFile": buf.getvalue()})
    for data in [*of("inspector", "critical-findings"), *of("inspector", "unscanned"), *of("inspector", "reboot-pending"), *of("inspector", "reboot-window"), *of("ssm"), *of("inspector", "patch-critical"), *of("findings")]:
        tell(prove, data, variables=V)
        emulator.finish_commands(ACCOUNT, REGION)
    report(prove)

def ssm_fleet_trust():
    from tests.emulator.organisation import trust
    return trust(Service="lambda.amazonaws.com")

def test_members(prove, monkeypatch, tmp_path):
    emulator = prove.emulator
    monkeypatch.chdir(tmp_path)
    gd.accounts_file(gd.ANNA)
    V = gd.VARIABLES
    ADMIN, ANNA, MGMT = gd.ADMIN, gd.ANNA, gd.STRANGER
    emulator.client("s3").create_bucket(Bucket="acme-findings")
    emulator.client("sns").create_topic(Name="c7n-secops-alerts")
    emulator.client("events").create_event_bus(Name="security")
    for acc in (ADMIN, ANNA): emulator.set_inspector_status(acc, REGION, ec2="DISABLED", ecr="DISABLED", lambda_="DISABLED")
    steps = [("guardduty-off", ANNA), ("guardduty-enable", ADMIN), ("guardduty-invite", ADMIN), ("guardduty-members", ADMIN), ("guardduty-members-lost", ADMIN), ("guardduty-invitations-open", ADMIN), ("guardduty-off", ADMIN), ("guardduty-accept", ANNA), ("guardduty-export", ADMIN),
      ("inspector-associate", ADMIN), ("inspector-members", ADMIN), ("inspector-members-missing", ADMIN), ("inspector-accounts", ADMIN), ("inspector-switched-off", ADMIN), ("inspector-enable", ADMIN), ("inspector-enable-members", ADMIN),  ("findings-not-forwarded", ANNA), ("findings-forward", ANNA), ("guardduty-members-watch", ADMIN)]
    for name, acc in steps:
        tell(prove, name, account=acc, variables=V)
    members = [{"id": a, "name": a, "email": f"{a}@example.com"} for a in (MGMT, ADMIN, ANNA)]
    emulator.form_organization(MGMT, members)
    for name in ("guardduty-organization", "inspector-organization"):
        for acc in (MGMT, ADMIN):
            tell(prove, name, account=acc, variables=V)
    detail = {"eventSource": "guardduty.amazonaws.com", "eventName": "DisassociateFromMasterAccount", "awsRegion": REGION, "recipientAccountId": ANNA}
    tell(prove, "guardduty-member-left", variables=V, event={"source": "aws.guardduty", "detail-type": "AWS API Call via CloudTrail", "account": ANNA, "region": REGION, "detail": detail})
    report(prove)

def test_incident(prove, monkeypatch):
    emulator = prove.emulator
    W = ir.WORKLOAD
    made = {"evidence_bucket": "acme-evidence", "evidence_key": f"arn:aws:kms:{REGION}:{W}:key/1"}
    s3 = emulator.client("s3", W, REGION)
    s3.create_bucket(Bucket="acme-evidence", ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(Bucket="acme-evidence", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}})
    emulator.client("sns", W, REGION).create_topic(Name="c7n-secops-incident-response")
    inst = irr.suspect(emulator)
    V = {"instances": [inst], "case": "INC-42", **made}
    tell(prove, "ec2-containment-unfinished", account=W, variables=V)
    emulator.seed("ec2", W, REGION, "snapshot_states", {"*": "pending"})
    tell(prove, "ec2-contain-instance", account=W, variables=V)
    emulator.seed("ec2", W, REGION, "snapshot_states", {"*": "completed"})
    tell(prove, "ec2-finish-snapshots", account=W, variables=V)
    report(prove)
