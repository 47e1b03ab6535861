"""Findings of four services become records of one form, which the schema describes."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from botocore.validate import validate_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from c7n_secops_findings.decode import UnknownShapeError, classic, decode, guardduty, securityhub
from c7n_secops_findings.decode import inspector2 as inspector
from c7n_secops_findings.decode.node import iso, moment
from c7n_secops_findings.formats import asff, ocsf
from c7n_secops_findings.record import Finding, newest, schema
from c7n_secops_findings.store import Store, open_store
from tests import finding_data
from tests.finding_data import FORMS, MOMENTS, event, in_english, model, record, sample
from tests.harness import ACCOUNT

ONE_EVENT = {
    "guardduty-cloudtrail-api-call": 0,
    "guardduty-ec2-network-connection": 1,
    "inspector-classic-sns-message": 1,
    "inspector2-ec2-package-closed-2024": 1,
    "inspector2-ecr-package-2021": 1,
}
UNHURRIED = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def valid(finding: Finding) -> dict[str, Any]:
    """The record as JSON, after the schema has been asked."""
    made: dict[str, Any] = json.loads(finding.to_json())
    jsonschema.Draft202012Validator(schema()).validate(made)
    return made


def notification(body: Any) -> str:
    return json.dumps({"Type": "Notification", "Message": json.dumps(body)})


# --- the sample events


@pytest.mark.parametrize(("name", "number"), ONE_EVENT.items())
def test_a_sample_event_decodes_raw_and_inside_a_notification(name: str, number: int) -> None:
    body = sample(name)
    found = decode(json.dumps(body))
    assert len(found) == number
    assert decode(notification(body)) == found
    assert decode(json.dumps({"Type": "Notification", "Message": notification(body)})) == found
    for finding in found:
        valid(finding)


def test_recorded_answers_of_list_findings_decode() -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("__class__") == "datetime":
            return datetime(*[v for k, v in value.items() if k != "__class__"], tzinfo=timezone.utc)
        return {key: plain(item) for key, item in value.items()}

    listed = plain(sample("inspector2-listfindings-c7n-placebo")["data"]["findings"])
    found = [inspector.decode(each) for each in listed]
    assert len(found) > 1
    assert [valid(each)["finding_arn"] for each in found] == [each["findingArn"] for each in listed]
    assert found[0].vpc == "vpc-01330a3528d96e6d9"
    assert found[0].private_ips == ("172.31.28.155",)
    assert found[0].public_ips == ("3.70.160.43",)
    assert found[0].resource_tags == {"Name": "inspector-test"}
    assert [package["name"] for package in found[0].packages] == [
        "intel-microcode",
        "linux-image-aws",
    ]


def test_an_inspector_event_keeps_what_it_says_but_for_what_is_no_address() -> None:
    (finding,) = decode(sample("inspector2-ec2-package-closed-2024"))
    assert finding.status == "CLOSED"
    assert finding.cves == ("CVE-2024-29069",)
    assert finding.epss == 0.00043
    assert finding.exploit_available is False
    assert finding.fix_available == "YES"
    assert finding.inspector_score == finding.severity_score == 4.8
    assert finding.version == 1725469236951
    assert finding.updated_at == "2024-09-04T17:00:36.951Z"
    assert finding.private_ips == finding.public_ips == ()
    assert finding.packages[0]["fixed"] == "0:2.63+22.04ubuntu0.1"
    assert finding.subnet == "subnet-12345678"
    assert finding.resource_arn == (
        "arn:aws:ec2:eu-central-1:123456789012:instance/i-12345678901234567"
    )


def test_a_guardduty_event_says_who_the_other_side_was() -> None:
    (finding,) = decode(sample("guardduty-ec2-network-connection"))
    assert (finding.action, finding.direction) == ("NETWORK_CONNECTION", "OUTBOUND")
    assert (finding.remote_ip, finding.remote_port) == ("198.51.100.0", 25)
    assert finding.remote_asn == "-1"
    assert finding.remote_country == "GeneratedFindingCountryName"
    assert finding.count == 1
    assert finding.version == 1615076975498 + 1
    assert finding.internet_exposed is True
    assert finding.ports == ({"begin": 2000, "end": 2000, "protocol": "TCP"},)
    assert finding.security_groups == ("GeneratedFindingSecurityId",)
    assert finding.resource_tags["GeneratedFindingInstaceTag1"] == "GeneratedFindingInstaceValue1"


def test_guardduty_s_api_and_its_events_make_the_same_record() -> None:
    def capitalised(value: Any) -> Any:
        if isinstance(value, list):
            return [capitalised(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {f"{key[:1].upper()}{key[1:]}": capitalised(item) for key, item in value.items()}

    detail = sample("guardduty-ec2-network-connection")["detail"]
    pulled = guardduty.decode(capitalised(detail))
    assert replace(pulled, raw={}) == replace(guardduty.decode(detail), raw={})


@pytest.mark.parametrize(
    ("score", "label"),
    [
        (None, "UNTRIAGED"),
        (0.5, "INFORMATIONAL"),
        (1, "LOW"),
        (3.9, "LOW"),
        (4, "MEDIUM"),
        (7, "HIGH"),
        (8.9, "HIGH"),
        (9, "CRITICAL"),
        (10, "CRITICAL"),
    ],
)
def test_guardduty_s_scores_have_labels_and_nine_is_critical(score: Any, label: str) -> None:
    assert guardduty.severity(score) == label


def test_an_archived_guardduty_finding_is_suppressed() -> None:
    detail = sample("guardduty-ec2-network-connection")["detail"]
    detail["service"]["archived"] = True
    assert guardduty.decode(detail).status == "SUPPRESSED"


def test_another_account_s_detector_is_the_administrator() -> None:
    detail = sample("guardduty-ec2-network-connection")["detail"]
    detail["accountId"] = "222222222222"
    assert guardduty.decode(detail).administrator_account == "111122223333"


def test_reachable_ports_are_exposed_to_the_internet() -> None:
    details = {
        "openPortRange": {"begin": 22, "end": 25},
        "protocol": "TCP",
        "networkPath": {"steps": []},
    }
    finding = record(networkReachabilityDetails=details)
    assert finding.ports == ({"begin": 22, "end": 25, "protocol": "TCP"},)
    assert finding.internet_exposed is True


# --- identity and order


def test_a_finding_has_one_id_whether_inspector_or_security_hub_tells_of_it() -> None:
    told = asff_event()["detail"]["findings"][0]
    told["Id"] = record().finding_arn
    assert securityhub.decode(told).id == record().id


def test_a_product_s_own_id_is_told_apart_by_the_product() -> None:
    one, other = asff_event()["detail"]["findings"][0], asff_event()["detail"]["findings"][0]
    one["Id"] = other["Id"] = "17"
    other["ProductArn"] = other["ProductArn"].replace("acme", "other")
    assert securityhub.decode(one).id != securityhub.decode(other).id


def test_of_many_versions_the_newest_is_kept_once() -> None:
    old, new, other = record(1), replace(record(1), version=record(1).version + 1), record(2)
    assert newest([old, other, new, old]) == [new, other]


def test_a_closed_finding_is_a_newer_version_of_the_same_record() -> None:
    opened = record()
    closed = record(status="CLOSED", updatedAt="Wed Sep 04 17:00:36.952 UTC 2024")
    assert (closed.id, closed.status) == (opened.id, "CLOSED")
    assert closed.version == opened.version + 1


def test_a_message_of_inspector_classic_is_older_than_the_finding_it_names() -> None:
    (named,) = decode(sample("inspector-classic-sns-message"))
    assert named.version == 0
    assert classic.is_named_only(named)
    assert (named.account_id, named.region) == ("123456789012", "us-east-1")


@pytest.mark.parametrize("word", [w for w in classic.EVENTS if w != classic.REPORTED])
def test_other_messages_of_inspector_classic_carry_no_finding(word: str) -> None:
    assert decode({**sample("inspector-classic-sns-message"), "event": word}) == []


def asff_event(**changes: Any) -> Any:
    finding = {
        "SchemaVersion": "2018-10-08",
        "Id": "acme/1",
        "ProductArn": f"arn:aws:securityhub:us-east-1:{ACCOUNT}:product/{ACCOUNT}/acme",
        "GeneratorId": "acme",
        "AwsAccountId": ACCOUNT,
        "CreatedAt": "2024-01-01T00:00:00Z",
        "UpdatedAt": "2024-01-02T00:00:00.5+02:00",
        "Severity": {"Label": "HIGH", "Normalized": 70},
        "Title": "t",
        "Description": "d",
        "Resources": [
            {
                "Type": "AwsEc2Instance",
                "Id": f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0",
                "Region": "us-east-1",
                "Details": {"AwsEc2Instance": {"VpcId": "vpc-1"}},
            }
        ],
        **changes,
    }
    return {
        "source": "aws.securityhub",
        "detail-type": "Security Hub Findings - Imported",
        "detail": {"findings": [finding]},
    }


def test_a_security_hub_finding_is_a_record() -> None:
    (finding,) = decode(
        asff_event(
            Vulnerabilities=[
                {"Id": "CVE-1", "EpssScore": 0.2, "FixAvailable": "YES", "ExploitAvailable": "NO"},
                {"Id": "CVE-2", "EpssScore": 0.9, "FixAvailable": "NO", "ExploitAvailable": "YES"},
            ]
        )
    )
    made = valid(finding)
    assert made["severity_score"] == 7
    assert made["resource_id"] == "i-0123456789abcdef0"
    assert made["vpc"] == "vpc-1"
    assert made["updated_at"] == "2024-01-01T22:00:00.500Z"
    assert made["cves"] == ["CVE-1", "CVE-2"]
    assert (made["epss"], made["exploit_available"]) == (0.9, True)
    assert made["fix_available"] == "PARTIAL"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "ACTIVE"),
        ({"RecordState": "ARCHIVED"}, "CLOSED"),
        ({"Workflow": {"Status": "RESOLVED"}}, "CLOSED"),
        ({"Workflow": {"Status": "SUPPRESSED"}}, "SUPPRESSED"),
        ({"Workflow": {"Status": "NOTIFIED"}}, "ACTIVE"),
    ],
)
def test_security_hub_s_workflow_decides_the_status(changes: Any, status: str) -> None:
    (finding,) = decode(asff_event(**changes))
    assert finding.status == status


# --- times


@given(MOMENTS, st.sampled_from(FORMS))
def test_a_time_is_the_same_in_each_of_its_four_forms(at: datetime, form: Any) -> None:
    exact = at.replace(microsecond=0) if form is in_english else at
    assert moment(form(at)) == exact


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-02T03:04:05+0200", "2024-01-02T01:04:05.000Z"),
        ("2024-01-02 03:04:05.123456789Z", "2024-01-02T03:04:05.123Z"),
        ("Dec 3, 2021, 6:02:30\N{NARROW NO-BREAK SPACE}PM", "2021-12-03T18:02:30.000Z"),
        (1709251200.25, "2024-03-01T00:00:00.250Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_written_in_utc_with_milliseconds(text: Any, at: str) -> None:
    assert iso(moment(text)) == at


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "10", True, [], {}, -1, 1e12, 10**400, "2024-13-01T00:00:00Z", "x" * 99],
)
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        moment(text)


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=999)))
def test_a_record_s_age_is_the_days_from_first_seen_to_changed(at: datetime, age: Any) -> None:
    changed = at + age
    finding = record(firstObservedAt=at.timestamp(), updatedAt=changed.isoformat())
    assert finding.age_days == age.days


# --- the schema


def test_the_schema_and_the_record_have_the_same_fields() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    properties = schema()["properties"]
    assert set(properties) == {each.name for each in fields(Finding)} == set(schema()["required"])
    assert all(each.get("description") for each in properties.values())


def test_the_schema_is_of_the_version_that_records_say() -> None:
    assert schema()["properties"]["schema_version"]["const"] == record().schema_version
    assert schema()["$id"].endswith(record().schema_version)


# --- any finding of the documented shapes


@UNHURRIED
@given(finding_data.inspector_findings())
def test_any_finding_of_inspector_s_model_decodes(finding: Any) -> None:
    detail = {"source": "aws.inspector2", "detail-type": "Inspector2 Finding", "detail": finding}
    (made,) = decode(json.dumps(detail))
    assert valid(made)["finding_arn"] == finding["findingArn"]


@UNHURRIED
@given(st.booleans().flatmap(finding_data.guardduty_findings))
def test_any_finding_of_guardduty_s_model_decodes(finding: Any) -> None:
    assert valid(guardduty.decode(finding))["source"] == "guardduty"


@UNHURRIED
@given(finding_data.securityhub_findings())
def test_any_finding_of_security_hub_s_model_decodes(finding: Any) -> None:
    body = {**asff_event(), "detail": {"findings": [finding]}}
    (made,) = decode(json.dumps(body))
    assert valid(made)["source"] == "securityhub"


@UNHURRIED
@given(finding_data.classic_findings())
def test_any_finding_of_inspector_classic_s_model_decodes(finding: Any) -> None:
    assert valid(classic.decode(finding))["source"] == "inspector"


# --- hostile input

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [
        found
        for key, item in pairs
        for found in (
            (*path, key),
            *(paths(item, (*path, key)) if isinstance(item, (dict, list)) else ()),
        )
    ]


EVENTS = {
    name: sample(name)
    for name, number in ONE_EVENT.items()
    if number and name != "inspector-classic-sns-message"
} | {"asff": asff_event()}


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_stands_in_an_event_it_is_a_valid_record_or_refused(data: Any) -> None:
    body = json.loads(json.dumps(EVENTS[data.draw(st.sampled_from(sorted(EVENTS)))]))
    *path, last = data.draw(st.sampled_from(paths(body)))
    place = body
    for step in path:
        place = place[step]
    place[last] = data.draw(JSON)
    try:
        found = decode(json.dumps(body))
    except UnknownShapeError as error:
        assert 0 < len(str(error)) < 1000
        return
    for finding in found:
        valid(finding)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("[]", "not an object"),
        ("{}", "neither an EventBridge event"),
        ('{"a": NaN}', "not a number of JSON"),
        ('{"a": 1e400}', "not a number of JSON"),
        ("[" * 100_000, "nested|not JSON"),
        ('{"a":' * 100_000, "nested|not JSON"),
        ('{"detail-type": "Inspector2 Finding"}', r"source is missing"),
        ('{"detail-type": "x", "source": "aws.x"}', "no finding is known in events 'x'"),
        ('{"detail-type": "Inspector2 Scan", "source": "evil"}', "no finding is known"),
        ('{"detail-type": "GuardDuty Finding", "source": "aws.guardduty"}', "detail is not an obj"),
        (
            json.dumps({**asff_event(), "detail": {"findings": []}}),
            "detail.findings is missing or empty",
        ),
        ('{"Type": "Notification", "Message": "hello"}', "not JSON"),
    ],
)
def test_an_unknown_shape_is_refused_with_the_reason(body: str, reason: str) -> None:
    with pytest.raises(UnknownShapeError, match=reason):
        decode(body)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"findingArn": "arn:aws:s3"}, "finding.findingArn is not an ARN"),
        ({"findingArn": None}, "finding.findingArn is missing"),
        ({"awsAccountId": "12"}, "finding.awsAccountId is not of the form"),
        ({"severity": "AWFUL"}, "finding.severity is not one of"),
        ({"resources": []}, "finding.resources is not a list of a resource"),
        ({"epss": {"score": "high"}}, "finding.epss.score is not a number"),
        ({"epss": 3}, "finding.epss is not an object"),
        ({"updatedAt": "soon"}, "finding.updatedAt is not a time"),
        ({"packageVulnerabilityDetails": {"vulnerablePackages": {}}}, "is not a list"),
        ({"packageVulnerabilityDetails": {"referenceUrls": [1]}}, "is not a list of texts"),
        ({"title": 7}, "finding.title is not a text"),
    ],
)
def test_a_finding_of_another_shape_is_refused_and_says_where(changes: Any, where: str) -> None:
    with pytest.raises(UnknownShapeError, match=where):
        record(**changes)


def test_a_long_text_is_cut_and_an_impossible_number_is_brought_into_bounds() -> None:
    finding = record(description="d" * 30_000, inspectorScore=99, epss={"score": -1})
    assert len(valid(finding)["description"]) == 20_000
    assert (finding.inspector_score, finding.epss) == (10, 0)


# --- other tools' forms


def every_sample() -> list[Finding]:
    found = [finding for body in EVENTS.values() for finding in decode(body)]
    closed = record(status="CLOSED", title="t" * 900, description="")
    return [*found, *decode(sample("inspector-classic-sns-message")), closed]


@pytest.mark.parametrize("finding", every_sample(), ids=lambda f: f"{f.source}-{f.type[:20]}")
def test_the_asff_form_is_what_security_hub_s_model_takes(finding: Finding) -> None:
    shape = model("securityhub").operation_model("BatchImportFindings").input_shape
    made = asff.finding_of(finding)
    validate_parameters({"Findings": [made]}, shape)
    assert len(made["Title"]) <= 256
    assert len(made["Description"]) >= 1
    assert made["Id"] == finding.finding_arn
    assert made["ProductArn"].endswith(f"product/{finding.account_id}/default")
    assert securityhub.decode(made).id == finding.id


@pytest.mark.parametrize(
    ("status", "state", "workflow"),
    [
        ("ACTIVE", "ACTIVE", "NEW"),
        ("SUPPRESSED", "ACTIVE", "SUPPRESSED"),
        ("CLOSED", "ARCHIVED", "RESOLVED"),
    ],
)
def test_the_asff_form_comes_back_with_the_same_status(
    status: str, state: str, workflow: str
) -> None:
    made = asff.finding_of(record(status=status))
    assert (made["RecordState"], made["Workflow"]["Status"]) == (state, workflow)
    assert securityhub.decode(made).status == status


def test_the_ocsf_form_leaves_out_a_package_without_a_version() -> None:
    package = {"name": "curl", "installed": None, "fixed": None, "path": None, "manager": "OS"}
    made = ocsf.event_of(replace(record(), packages=(package,)))
    assert made["vulnerabilities"][0]["affected_packages"] == []


OCSF = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))


@pytest.mark.parametrize("finding", every_sample(), ids=lambda f: f"{f.source}-{f.type[:20]}")
def test_the_ocsf_form_is_valid_by_ocsf_s_own_schema(finding: Finding) -> None:
    made = json.loads(json.dumps(ocsf.event_of(finding)))
    name = {2002: "vulnerability_finding", 2004: "detection_finding"}[made["class_uid"]]
    jsonschema.validate(made, OCSF.get_class_schema(name, profiles=["cloud"]))
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    assert made["metadata"]["uid"] == finding.id
    assert (made["class_uid"] == 2002) is bool(finding.cves)


# --- the local store


def test_the_store_shows_each_finding_once_in_its_newest_version(tmp_path: Path) -> None:
    store = Store(tmp_path / "findings")
    old, other = record(1), record(2)
    new = replace(old, version=old.version + 1, status="CLOSED")
    store.write([old, other])
    store.write([new])
    store.write([old])
    rows = open_store(tmp_path).sql("SELECT id, version, status FROM findings").fetchall()
    assert sorted(rows) == sorted(
        [(new.id, new.version, "CLOSED"), (other.id, other.version, "ACTIVE")]
    )


def test_the_same_batch_again_is_the_same_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "findings")
    file = store.write([record(1), record(2)])
    written = file.stat().st_mtime_ns
    assert store.write([record(2), record(1)]) == file
    assert file.stat().st_mtime_ns == written
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [file]


def test_the_store_keeps_every_field(tmp_path: Path) -> None:
    finding = replace(
        decode(sample("guardduty-ec2-network-connection"))[0], account_name="o'neil", cves=("C",)
    )
    Store(tmp_path / "findings").write([finding])
    rows = open_store(tmp_path).sql("SELECT * FROM findings")
    (row,) = rows.fetchall()
    kept = dict(zip(rows.columns, row, strict=True))
    wanted = valid(finding)
    assert json.loads(kept.pop("raw")) == wanted.pop("raw")
    for name in ("first_observed_at", "last_observed_at", "updated_at"):
        kept[name] = f"{kept[name].isoformat(timespec='milliseconds')}Z"
    assert kept == wanted


def test_the_store_takes_half_a_character(tmp_path: Path) -> None:
    (finding,) = decode(json.dumps(event(title="half \ud83d")))
    Store(tmp_path / "findings").write([finding])
    assert open_store(tmp_path).sql("SELECT title FROM findings").fetchall() == [("half ?",)]


def test_addresses_of_both_kinds_are_kept() -> None:
    body = event()
    instance = body["detail"]["resources"][0]["details"]["awsEc2Instance"]
    instance |= {"ipV4Addresses": ["10.0.0.1"], "ipV6Addresses": ["2600:1f18::1"]}
    (finding,) = decode(body)
    assert finding.private_ips == ("10.0.0.1",)
    assert finding.public_ips == ("2600:1f18::1",)


def test_an_empty_store_answers_with_no_row(tmp_path: Path) -> None:
    assert open_store(tmp_path).sql("SELECT * FROM findings").fetchall() == []


@UNHURRIED
@given(text=st.text(st.characters(), max_size=20), tag=st.text(max_size=9))
def test_the_store_takes_whatever_a_finding_holds(
    tmp_path_factory: pytest.TempPathFactory, text: str, tag: str
) -> None:
    folder = tmp_path_factory.mktemp("store")
    body = event(title=text, tags={tag: text})
    body["detail"]["resources"][0]["tags"] = {tag: text}
    (finding,) = decode(json.dumps(body))
    Store(folder / "findings").write([finding])
    ((count,),) = open_store(folder).sql("SELECT count(*) FROM findings").fetchall()
    assert count == 1


def test_a_store_keeps_no_thread_between_batches(tmp_path: Path) -> None:
    """A process that forks, or a function that is frozen, must not have any."""
    process = psutil.Process()
    before = process.num_threads()
    store = Store(tmp_path)
    store.write([record(1)])
    assert process.num_threads() <= before


def test_without_duckdb_the_store_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(RuntimeError, match=r"pip install 'c7n-secops\[findings\]'"):
        Store(tmp_path)
