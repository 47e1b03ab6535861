"""The inspector-finding filter: matched, clean, and not evaluated."""

from __future__ import annotations

import json

import pytest
from c7n.exceptions import PolicyValidationError

from tests.harness import ACCOUNT, REGION
from tests.inspector_data import add, finding, launch, policy, reachable, validate


def ids(run):
    return sorted(resource["InstanceId"] for resource in run.resources)


def test_an_instance_with_a_critical_finding_matches_and_carries_it(emulator, custodian):
    hit, high, other = launch(emulator, 3)
    add(emulator, finding(hit, 1), finding(high, 2, severity="HIGH"))
    run = custodian("ec2-critical-findings")
    assert ids(run) == [hit]
    assert [f["title"] for f in run.resources[0]["c7n:InspectorFindings"]] == [
        "CVE-2026-00001 - openssl"
    ]
    assert run.not_evaluated == []
    assert {high, other} & set(ids(run)) == set()


@pytest.mark.parametrize(
    ("block", "hit", "miss"),
    [
        ({"severity": ["HIGH"]}, {"severity": "HIGH"}, {"severity": "LOW"}),
        ({"cve": ["CVE-2023-44487"]}, {"cve": "CVE-2023-44487"}, {"cve": "CVE-2023-44488"}),
        (
            {"cve": ["CVE-2023-44487", *(f"CVE-2020-{n:04d}" for n in range(30))]},
            {"cve": "CVE-2023-44487"},
            {"cve": "CVE-2023-44488"},
        ),
        ({"epss": {"gte": 0.5}}, {"epss": 0.5}, {"epss": 0.49}),
        ({"epss": {"gte": 0.1, "lte": 0.2}}, {"epss": 0.2}, {"epss": 0.3}),
        ({"exploit-available": True}, {"exploitAvailable": "YES"}, {}),
        ({"exploit-available": False}, {}, {"exploitAvailable": "YES"}),
        ({"fix-available": ["PARTIAL"]}, {"fixAvailable": "PARTIAL"}, {}),
        ({"fix-available": [True]}, {}, {"fixAvailable": "NO"}),
        (
            {"finding-type": ["PACKAGE_VULNERABILITY", "CODE_VULNERABILITY"]},
            {},
            {"type": "NETWORK_REACHABILITY"},
        ),
        (
            {
                "attrs": [
                    {
                        "key": "packageVulnerabilityDetails.vulnerabilityId",
                        "value_regex": "CVE-([0-9]+)-",
                        "value_type": "integer",
                        "value": 2024,
                    }
                ]
            },
            {"cve": "CVE-2024-1"},
            {"cve": "CVE-2023-2024"},
        ),
        ({"age": {"op": "gt", "days": 30}}, {"age": 31}, {"age": 29}),
        ({"age": {"op": "lt", "days": 30}}, {"age": 29}, {"age": 31}),
        ({"age": {"days": 30}}, {"age": 31}, {"age": 29}),
        ({"status": ["CLOSED"]}, {"status": "CLOSED"}, {}),
        ({}, {}, {"status": "SUPPRESSED"}),
        (
            {
                "attrs": [
                    {
                        "key": "packageVulnerabilityDetails.vulnerablePackages[].name",
                        "op": "contains",
                        "value": "bash",
                    }
                ]
            },
            {"package": "bash"},
            {"package": "bashful"},
        ),
        (
            {"attrs": [{"key": "inspectorScore", "op": "gte", "value": 9.5}]},
            {},
            {"inspectorScore": 9.4},
        ),
    ],
    ids=str,
)
def test_each_key_decides(emulator, custodian, block, hit, miss):
    matching, near = launch(emulator, 2)
    add(emulator, finding(matching, 1, **hit), finding(near, 2, **miss))
    run = custodian(policy({"type": "inspector-finding", **block}))
    assert ids(run) == [matching]
    assert run.not_evaluated == []


def test_an_open_port_range_that_holds_the_port_matches(emulator, custodian):
    inside, outside = launch(emulator, 2)
    add(emulator, reachable(inside, 20, 22, 1), reachable(outside, 23, 3388, 2))
    assert ids(custodian("ec2-management-port-reachable")) == [inside]


def test_all_keys_must_hold_for_the_same_finding(emulator, custodian):
    (instance,) = launch(emulator)
    add(
        emulator,
        finding(instance, 1, severity="CRITICAL", fixAvailable="NO"),
        finding(instance, 2, severity="LOW"),
    )
    assert ids(custodian("ec2-critical-findings")) == []


@pytest.mark.parametrize(
    ("count", "matched"),
    [
        ({"value": 2}, True),
        ({"op": "gt", "value": 2}, False),
        ({"op": "eq", "value": 2}, True),
        ({"op": "ne", "value": 2}, False),
        ({"op": "lt", "value": 3}, True),
        ({"op": "lte", "value": 1}, False),
    ],
    ids=str,
)
def test_the_number_of_findings_is_compared(emulator, custodian, count, matched):
    (instance,) = launch(emulator)
    add(emulator, finding(instance, 1), finding(instance, 2))
    run = custodian(policy({"type": "inspector-finding", "count": count}))
    assert ids(run) == ([instance] if matched else [])
    assert run.not_evaluated == []


def test_findings_of_another_account_do_not_count(emulator, custodian):
    (instance,) = launch(emulator)
    add(emulator, finding(instance, awsAccountId="222222222222"))
    assert ids(custodian(policy({"type": "inspector-finding"}))) == []


# --- the third outcome


def test_an_instance_that_is_not_scanned_is_not_evaluated_and_says_why(emulator, custodian):
    scanned = launch(emulator)
    (unmanaged,) = launch(emulator, managed=False)
    run = custodian("ec2-critical-findings")
    assert run.resources == []
    assert [(r["resource"], r["code"]) for r in run.not_evaluated] == [
        (unmanaged, "UNMANAGED_EC2_INSTANCE")
    ]
    assert run.not_evaluated[0]["policy"] == "ec2-critical-findings"
    assert run.not_evaluated[0]["element"] == "filter:inspector-finding"
    assert scanned[0] not in str(run.not_evaluated)


def test_no_findings_is_clean_only_where_inspector_has_scanned(emulator, custodian):
    (scanned,) = launch(emulator)
    (unmanaged,) = launch(emulator, managed=False)
    run = custodian(policy({"type": "inspector-finding", "count": {"op": "eq", "value": 0}}))
    assert ids(run) == [scanned]
    assert [r["resource"] for r in run.not_evaluated] == [unmanaged]


def test_a_finding_of_an_instance_that_is_no_longer_scanned_still_matches(emulator, custodian):
    (instance,) = launch(emulator, managed=False)
    add(emulator, finding(instance))
    run = custodian("ec2-critical-findings")
    assert ids(run) == [instance]
    assert run.not_evaluated == []


@pytest.mark.parametrize(
    "row",
    [
        {"statusCode": "INACTIVE", "reason": "NO_INVENTORY"},
        {"statusCode": "ACTIVE", "reason": "PENDING_INITIAL_SCAN"},
    ],
    ids=lambda row: row["reason"],
)
def test_a_scan_that_is_not_done_is_not_clean(emulator, custodian, row):
    (instance,) = launch(emulator)
    emulator.set_coverage(
        ACCOUNT,
        REGION,
        [{"resourceId": instance, "scanType": "PACKAGE", "scanStatus": row}],
    )
    run = custodian("ec2-critical-findings")
    assert [r["code"] for r in run.not_evaluated] == [row["reason"]]


def test_only_the_scan_that_the_question_needs_has_to_have_run(emulator, custodian):
    (instance,) = launch(emulator)
    off = {"statusCode": "INACTIVE", "reason": "NO_INVENTORY"}
    emulator.set_coverage(
        ACCOUNT, REGION, [{"resourceId": instance, "scanType": "NETWORK", "scanStatus": off}]
    )
    assert custodian("ec2-critical-findings").not_evaluated == []
    assert len(custodian("ec2-management-port-reachable").not_evaluated) == 1


def test_inspector_switched_off_is_said_and_nothing_is_clean(emulator, custodian):
    launch(emulator, 2)
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="DISABLED")
    run = custodian(policy({"type": "inspector-finding", "count": {"op": "eq", "value": 0}}))
    assert run.resources == []
    assert [r["code"] for r in run.not_evaluated] == ["INSPECTOR_DISABLED"] * 2
    assert f"account {ACCOUNT} region {REGION}" in run.not_evaluated[0]["reason"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_refused_read_is_reported_not_passed(emulator, custodian, code):
    instances = launch(emulator, 3)
    emulator.fault("inspector2", "ListFindings", code=code, status=403, times=None)
    run = custodian("ec2-critical-findings")
    assert run.resources == []
    assert sorted(r["resource"] for r in run.not_evaluated) == sorted(instances)
    assert {r["code"] for r in run.not_evaluated} == {code}
    assert "ListFindings" in run.not_evaluated[0]["reason"]


def test_a_throttled_read_is_tried_again(emulator, custodian):
    (instance,) = launch(emulator)
    add(emulator, finding(instance))
    emulator.fault("inspector2", "ListFindings", times=1)
    assert ids(custodian("ec2-critical-findings")) == [instance]


def test_a_refused_coverage_leaves_matches_and_evaluates_no_other(emulator, custodian):
    hit, silent = launch(emulator, 2)
    add(emulator, finding(hit))
    emulator.fault(
        "inspector2", "ListCoverage", code="AccessDeniedException", status=403, times=None
    )
    run = custodian("ec2-critical-findings")
    assert ids(run) == [hit]
    assert [r["resource"] for r in run.not_evaluated] == [silent]


def test_what_was_read_before_a_refusal_still_matches(emulator, custodian):
    first, second = launch(emulator, 2)
    add(emulator, *(finding(first, number) for number in range(150)), finding(second, 999))
    emulator.fault("inspector2", "ListFindings", times=None, after=1)
    run = custodian("ec2-critical-findings")
    assert ids(run) == [first]
    assert [r["resource"] for r in run.not_evaluated] == [second]


def test_a_denial_behind_which_inspector_is_off_says_so(emulator, custodian):
    launch(emulator)
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="DISABLED")
    emulator.fault(
        "inspector2", "ListFindings", code="AccessDeniedException", status=403, times=None
    )
    assert custodian("ec2-critical-findings").not_evaluated[0]["code"] == "INSPECTOR_DISABLED"


def test_a_gate_may_count_what_is_not_scanned_as_a_match(emulator, custodian):
    launch(emulator)
    (unmanaged,) = launch(emulator, managed=False)
    run = custodian(policy({"type": "inspector-finding", "missing": "match"}))
    assert ids(run) == [unmanaged]
    assert run.resources[0]["c7n:InspectorFindings"] == []
    assert [r["resource"] for r in run.not_evaluated] == [unmanaged]


# --- the other resources


def test_a_function_matches_by_its_latest_version(emulator, custodian):
    role = emulator.client("iam").create_role(RoleName="f", AssumeRolePolicyDocument="{}")["Role"]
    functions = emulator.client("lambda", ACCOUNT, REGION)
    arn, clean = (
        functions.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=role["Arn"],
            Handler="x.y",
            Code={"ZipFile": b"x"},
        )["FunctionArn"]
        for name in ("hit", "clean")
    )
    add(emulator, finding(f"{arn}:$LATEST", kind="AWS_LAMBDA_FUNCTION"))
    run = custodian("lambda-critical-findings")
    assert [function["FunctionArn"] for function in run.resources] == [arn]
    assert run.not_evaluated == []
    assert clean != arn


def test_an_image_matches_by_its_arn(emulator, custodian):
    ecr = emulator.client("ecr", ACCOUNT, REGION)
    ecr.create_repository(repositoryName="team/app")
    for tag in ("one", "two"):
        ecr.put_image(
            repositoryName="team/app",
            imageManifest=json.dumps({"schemaVersion": 2, "layers": [], "config": {"digest": tag}}),
            imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
            imageTag=tag,
        )
    images = ecr.describe_images(repositoryName="team/app")["imageDetails"]
    arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app/{images[0]['imageDigest']}"
    add(emulator, finding(arn, kind="AWS_ECR_CONTAINER_IMAGE"))
    run = custodian("ecr-image-critical-findings")
    assert [image["imageDigest"] for image in run.resources] == [images[0]["imageDigest"]]
    assert run.not_evaluated == []


# --- calls


def test_many_instances_cost_pages_not_instances(emulator, custodian):
    instances = launch(emulator, 30)
    add(emulator, *(finding(name, n) for n, name in enumerate(instances * 5)))
    emulator.clear_calls()
    assert len(ids(custodian("ec2-critical-findings"))) == 30
    assert len(emulator.calls("inspector2")) == 2


def test_few_instances_among_many_findings_cost_one_call(emulator, custodian):
    instances = launch(emulator, 8)
    add(emulator, *(finding(f"i-{n:017x}", n) for n in range(1000)), finding(instances[0], 2000))
    emulator.clear_calls()
    custodian(policy({"type": "inspector-finding", "severity": ["CRITICAL"]}))
    assert len(emulator.calls("inspector2", "ListFindings")) == 1


# --- bad input


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"epss": {"gte": 0.9, "lte": 0.1}}, "epss gte is above lte"),
        (
            {"ports": [22], "finding-type": "PACKAGE_VULNERABILITY"},
            "ports needs finding-type NETWORK_REACHABILITY",
        ),
        ({"attrs": [{"key": "title", "op": "regex", "value": "("}]}, "attrs[0]"),
        ({"finding-type": "CODE_VULNERABILITY"}, "Inspector has none for aws.ec2"),
    ],
    ids=["epss", "ports", "attrs", "finding-type"],
)
def test_what_can_never_match_is_an_error_that_names_policy_filter_and_key(block, message):
    with pytest.raises(PolicyValidationError) as raised:
        validate(policy({"type": "inspector-finding", **block}))
    assert "policy:under-test filter:inspector-finding" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize("depth", [1, 2])
def test_inside_not_it_is_refused_with_the_way_to_say_it(depth):
    block = {"type": "inspector-finding"}
    for wrapped in ("or", "not")[2 - depth :]:
        block = {wrapped: [block]}
    with pytest.raises(PolicyValidationError, match=r"use count: \{op: eq, value: 0\}"):
        validate(policy(block))


def test_a_second_policy_that_asks_the_same_asks_the_cache(emulator, cli, tmp_path):
    (instance,) = launch(emulator)
    add(emulator, finding(instance), finding(instance, 2, severity="LOW"))
    block = {"type": "inspector-finding", "severity": ["CRITICAL"]}
    policies = [
        {**policy(block), "name": "first"},
        {**policy(block), "name": "second"},
        {**policy({**block, "severity": ["LOW"]}), "name": "other"},
    ]
    file = tmp_path / "policies.json"
    file.write_text(json.dumps({"policies": policies}))
    cache = ["--cache", str(tmp_path / "cache"), "--cache-period", "5"]
    emulator.clear_calls()
    done = cli("custodian", "run", "-s", str(tmp_path / "out"), *cache, "--region", REGION, file)
    assert done.returncode == 0, done.stderr
    found = {
        name: [
            item["severity"]
            for item in json.loads((tmp_path / "out" / name / "resources.json").read_text())[0][
                "c7n:InspectorFindings"
            ]
        ]
        for name in ("first", "second", "other")
    }
    assert found == {"first": ["CRITICAL"], "second": ["CRITICAL"], "other": ["LOW"]}
    assert len(emulator.calls("inspector2", "ListFindings")) == 2
