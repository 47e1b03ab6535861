"""The http-flood filter: who floods what, by the logs that a resource's configuration names."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta, timezone

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops_edge.logs.objects import delivered_files
from c7n_secops_edge.logs.places import Place
from tests import edge_logs
from tests.edge_logs import RULES, WIDEN, burst, cloudfront, planted
from tests.harness import ACCOUNT, REGION
from tests.inspector_data import policy, validate

NOW = datetime.now(timezone.utc)
BUCKET = "edge-logs"
FLOOD = {"type": "http-flood", "rules": RULES, "widen": WIDEN}
ATTACK = burst("198.18.7.7", 0, [300])
CALM = burst("198.18.9.9", 0, [20])


@pytest.fixture
def s3(emulator):
    client = emulator.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def make_distribution(emulator, *, bucket=BUCKET, prefix="cdn/", **more):
    logging = {"Enabled": bool(bucket), "IncludeCookies": False, "Bucket": "", "Prefix": ""}
    if bucket:
        logging |= {"Bucket": f"{bucket}.s3.amazonaws.com", "Prefix": prefix}
    answer = emulator.client("cloudfront").create_distribution(
        DistributionConfig={
            "CallerReference": f"{datetime.now(timezone.utc)}",
            "Comment": "",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "o",
                        "DomainName": "o.example.com",
                        "CustomOriginConfig": {
                            "HTTPPort": 80,
                            "HTTPSPort": 443,
                            "OriginProtocolPolicy": "https-only",
                        },
                    }
                ],
            },
            "DefaultCacheBehavior": {
                "TargetOriginId": "o",
                "ViewerProtocolPolicy": "redirect-to-https",
                "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
                "MinTTL": 0,
            },
            "Logging": logging,
            **more,
        }
    )["Distribution"]
    return answer["Id"], answer["ARN"]


def make_balancer(emulator, *, bucket=BUCKET, prefix="alb"):
    ec2 = emulator.client("ec2")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
    client = emulator.client("elbv2")
    answer = client.create_load_balancer(Name="shop", Subnets=subnets, Type="application")
    arn = answer["LoadBalancers"][0]["LoadBalancerArn"]
    values = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": bucket}
    client.modify_load_balancer_attributes(
        LoadBalancerArn=arn,
        Attributes=[
            {"Key": key, "Value": value}
            for key, value in (
                {**values, "access_logs.s3.prefix": prefix} if bucket else {}
            ).items()
        ]
        or [{"Key": "access_logs.s3.enabled", "Value": "false"}],
    )
    return arn


def make_web_acl(emulator, *, logs=True, name="edge", destination="arn:aws:s3:::aws-waf-logs-edge"):
    client = emulator.client("wafv2")
    visibility = {
        "SampledRequestsEnabled": False,
        "CloudWatchMetricsEnabled": False,
        "MetricName": "m",
    }
    arn = client.create_web_acl(
        Name=name,
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig=visibility,
        Rules=[],
    )["Summary"]["ARN"]
    if logs:
        client.put_logging_configuration(
            LoggingConfiguration={"ResourceArn": arn, "LogDestinationConfigs": [destination]}
        )
    return arn


def put(s3, key, body, bucket=BUCKET):
    s3.put_object(Bucket=bucket, Key=key, Body=body)


def key_of(distribution, name="0a1b2c3d", when=NOW, prefix="cdn/", suffix="gz"):
    return f"{prefix}{distribution}.{when:%Y-%m-%d-%H}.{name}.{suffix}"


def addresses(run, rule="flood"):
    (found,) = run.resources
    return {each["address"] for each in found["c7n:HttpFlood"] if each["rule"] == rule}


def codes(run):
    return {(each["code"], each["resource"]) for each in run.not_evaluated}


def traffic(run):
    return json.loads((run.output / "traffic.json").read_text())


# --- distributions ------------------------------------------------------------------------------


def test_a_shipped_policy_finds_attackers_over_all_files_together_and_no_one_else(
    emulator, custodian, s3
):
    distribution, _ = make_distribution(emulator)
    requests = [
        *burst("198.18.7.7", 0, [600, 600, 600, 600]),
        *burst("198.18.7.8", 0, [399, 400, 400, 400, 400]),
        *burst("198.18.7.9", 0, [60], uri="/.env", status=404),
        *burst("198.18.7.10", 0, [2500], uri="/site.css"),
    ]
    for number in range(4):
        put(s3, key_of(distribution, f"{number}"), cloudfront(requests[number::4]))
    run = custodian("distribution-flood")
    assert addresses(run) == {"198.18.7.7/32"}
    assert addresses(run, "errors") == {"198.18.7.9/32"}
    assert run.not_evaluated == []
    (found,) = run.resources
    assert found["c7n:HttpFloodLogs"] | {"bytes": 0} == {
        "files": 4,
        "bytes": 0,
        "lines": 6959,
        "badLines": 0,
        "unattributed": 0,
        "truncated": [],
        "unreadable": [],
        "from": "2026-08-20T13:00Z",
        "to": "2026-08-20T13:04Z",
    }


def test_the_annotation_says_when_how_much_and_how_it_looked(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), cloudfront(burst("198.18.7.7", 2, [10, 150, 150], agent="x\ty")))
    (found,) = custodian(policy(FLOOD, resource="aws.distribution")).resources
    (offender,) = found["c7n:HttpFlood"]
    samples = offender.pop("samples")
    assert offender == {
        "address": "198.18.7.7/32",
        "rule": "flood",
        "metric": "requests",
        "count": 310,
        "requests": 310,
        "windowStart": "2026-08-20T13:00Z",
        "windowEnd": "2026-08-20T13:05Z",
        "firstOver": "2026-08-20T13:04Z",
        "lastOver": "2026-08-20T13:04Z",
        "firstSeen": "2026-08-20T13:02Z",
        "lastSeen": "2026-08-20T13:04Z",
        "hosts": 1,
    }
    assert len(samples) == 3
    assert samples[0].keys() == {"time", "address", "method", "uri", "status", "agent"}


def test_traffic_is_written_for_resources_that_match_and_those_that_do_not(emulator, custodian, s3):
    flooded, _ = make_distribution(emulator)
    calm, _ = make_distribution(emulator)
    put(s3, key_of(flooded), cloudfront([*ATTACK, *CALM]))
    put(s3, key_of(calm), cloudfront(CALM))
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert [each["Id"] for each in run.resources] == [flooded]
    found = {each["resource"]: each for each in traffic(run)}
    assert found[flooded]["minutes"] == [
        {"minute": "2026-08-20T13:00Z", "requests": 320, "offenders": 300}
    ]
    assert found[calm]["minutes"] == [
        {"minute": "2026-08-20T13:00Z", "requests": 20, "offenders": 0}
    ]
    assert found[flooded]["offenders"] == [
        {"address": "198.18.7.7/32", "rule": "flood", "count": 300}
    ]
    assert found[calm]["offenders"] == []


def test_two_filters_of_a_policy_both_write_their_traffic(emulator, custodian, s3):
    flooded, _ = make_distribution(emulator)
    put(s3, key_of(flooded), cloudfront([*ATTACK, *CALM]))
    many = {**FLOOD, "rules": [{**FLOOD["rules"][0], "name": "any", "threshold": 10}]}
    asked = policy(FLOOD, resource="aws.distribution")
    asked["filters"].append({"type": "http-flood", **many})
    run = custodian(asked)
    rules = [{each["rule"] for each in entry["offenders"]} for entry in traffic(run)]
    assert rules == [{"flood"}, {"any"}]


def test_logging_that_is_off_is_reported_and_never_clean(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator, bucket="")
    run = custodian("distribution-flood")
    assert run.resources == []
    assert codes(run) == {("LoggingDisabled", distribution)}


def test_logging_without_a_file_within_the_lookback_is_reported(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    other = "E2NEIGHBOUR"
    put(s3, key_of(other), cloudfront(ATTACK))
    put(s3, key_of(distribution, when=NOW - timedelta(days=3)), cloudfront(ATTACK))
    run = custodian("distribution-flood")
    assert codes(run) == {("NoLogs", distribution)}


def test_a_day_late_file_is_found_by_one_listing_from_its_hour_on(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution, when=NOW - timedelta(hours=23)), cloudfront(ATTACK))
    emulator.clear_calls()
    assert addresses(custodian(policy(FLOOD, resource="aws.distribution"))) == {"198.18.7.7/32"}
    assert len(emulator.calls("s3", "ListObjectsV2")) == 1
    assert len(emulator.calls("s3", "GetObject")) == 2  # the second for samples


def test_more_bytes_than_allowed_are_not_read_at_all(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), cloudfront(planted(1)[0]))
    emulator.clear_calls()
    run = custodian(policy({**FLOOD, "max-bytes": "10KiB"}, resource="aws.distribution"))
    assert codes(run) == {("TooManyBytes", distribution)}
    assert emulator.calls("s3", "GetObject") == []
    allowed = custodian(policy({**FLOOD, "max-bytes": "1MiB"}, resource="aws.distribution"))
    assert len(allowed.resources) == 1


@pytest.mark.parametrize(
    ("service", "operation"),
    [("cloudfront", "GetDistributionConfig"), ("s3", "ListObjectsV2")],
)
def test_a_refused_read_is_reported_not_passed(emulator, custodian, s3, service, operation):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), cloudfront(ATTACK))
    emulator.fault(service, operation, code="AccessDenied", status=403, times=None)
    run = custodian("distribution-flood")
    assert run.resources == []
    assert codes(run) == {("AccessDenied", distribution)}


def test_a_file_that_cannot_be_read_hides_neither_itself_nor_what_the_others_show(
    emulator, custodian, s3
):
    distribution, _ = make_distribution(emulator)
    for number in range(3):
        put(s3, key_of(distribution, f"{number}"), cloudfront(ATTACK))
    emulator.fault("s3", "GetObject", code="AccessDenied", status=403, times=1)
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert codes(run) == {("AccessDenied", distribution)}
    (found,) = run.resources
    (unreadable,) = found["c7n:HttpFloodLogs"]["unreadable"]
    assert unreadable in run.not_evaluated[0]["reason"]
    assert found["c7n:HttpFlood"][0]["count"] == 600


def test_a_truncated_file_is_reported_and_what_it_shows_is_found(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), cloudfront([*ATTACK, *planted(2)[0]])[:-2000])
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert codes(run) == {("Truncated", distribution)}
    assert "198.18.7.7/32" in addresses(run)
    (found,) = run.resources
    assert found["c7n:HttpFloodLogs"]["truncated"] == [f"s3://{BUCKET}/{key_of(distribution)}"]


def test_logs_of_which_no_line_can_be_read_are_reported(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), gzip.compress(b"no log at all\nneither is this\n"))
    run = custodian("distribution-flood")
    assert codes(run) == {("BadLines", distribution)}


def deliver(emulator, arn, *, form="w3c", destination=f"arn:aws:s3:::{BUCKET}/v2", **more):
    logs = emulator.client("logs")
    logs.put_delivery_source(name="cdn", resourceArn=arn, logType="ACCESS_LOGS")
    made = logs.put_delivery_destination(
        name="bucket",
        outputFormat=form,
        deliveryDestinationConfiguration={"destinationResourceArn": destination},
    )
    logs.create_delivery(
        deliverySourceName="cdn",
        deliveryDestinationArn=made["deliveryDestination"]["arn"],
        **more,
    )


def test_logs_of_version_2_are_found_through_their_delivery(emulator, custodian, s3):
    distribution, arn = make_distribution(emulator, bucket="")
    path = "{DistributionId}/{yyyy}/{MM}/{dd}/{HH}"
    deliver(emulator, arn, form="json", s3DeliveryConfiguration={"suffixPath": path})
    key = f"v2/{distribution}/{NOW:%Y/%m/%d/%H}/{distribution}.{NOW:%Y-%m-%d-%H}.1.gz"
    put(s3, key, edge_logs.cloudfront_json(ATTACK))
    put(s3, key.replace(f"/{distribution}/", "/E2NEIGHBOUR/"), edge_logs.cloudfront_json(CALM))
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert addresses(run) == {"198.18.7.7/32"}
    assert run.resources[0]["c7n:HttpFloodLogs"]["lines"] == len(ATTACK)


def test_a_format_that_is_not_read_is_reported(emulator, custodian, s3):
    distribution, arn = make_distribution(emulator, bucket="")
    deliver(emulator, arn, form="plain")
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert codes(run) == {("FormatUnknown", distribution)}


def test_parquet_is_read_by_duckdb(emulator, custodian, s3, tmp_path):
    import duckdb

    distribution, arn = make_distribution(emulator, bucket="")
    deliver(emulator, arn, form="parquet", s3DeliveryConfiguration={"suffixPath": "cf/"})
    path = tmp_path / "log.parquet"
    rows = [
        (f"{r.at:%Y-%m-%d}", f"{r.at:%H:%M:%S}", r.address, r.uri, str(r.status)) for r in ATTACK
    ]
    with duckdb.connect() as database:
        database.execute(
            'CREATE TABLE t ("date" TEXT, "time" TEXT, c_ip TEXT, cs_uri_stem TEXT, sc_status TEXT)'
        )
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        database.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    put(s3, f"v2/cf/{distribution}.1.parquet", path.read_bytes())
    put(s3, f"v2/cf/{distribution}.2.parquet", b"PAR1 but no more")
    run = custodian(policy(FLOOD, resource="aws.distribution"))
    assert addresses(run) == {"198.18.7.7/32"}
    assert run.resources[0]["c7n:HttpFloodLogs"]["lines"] == len(ATTACK)
    assert codes(run) == {("NotParquet", distribution)}


def test_the_place_of_the_logs_can_be_given(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator, bucket="")
    put(s3, f"own/{distribution}/{NOW:%Y-%m-%d}/log.gz", cloudfront(ATTACK))
    logs = {"bucket": BUCKET, "prefix": "own/{id}/{yyyy}-{MM}-{dd}/"}
    run = custodian(policy({**FLOOD, "logs": logs}, resource="aws.distribution"))
    assert addresses(run) == {"198.18.7.7/32"}


def test_of_files_by_hour_only_the_resource_s_own_are_read(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator, bucket="")
    for name, requests in ((distribution, ATTACK), ("E2NEIGHBOUR", CALM)):
        put(s3, f"own/{NOW:%Y/%m/%d/%H}/{name}.gz", cloudfront(requests))
    logs = {"bucket": BUCKET, "prefix": "own/{yyyy}/{MM}/{dd}/{HH}/{id}"}
    run = custodian(policy({**FLOOD, "logs": logs}, resource="aws.distribution"))
    assert run.resources[0]["c7n:HttpFloodLogs"]["lines"] == len(ATTACK)


@pytest.mark.parametrize(("since", "until", "found"), [(-5, 5, 1), (1, 5, 0), (-5, -1, 0)])
def test_only_files_delivered_within_the_lookback_are_read(emulator, s3, since, until, found):
    put(s3, "log.gz", b"")
    now = datetime.now(timezone.utc)
    between = (now + timedelta(minutes=minutes) for minutes in (since, until))
    assert len(delivered_files(s3, Place(BUCKET, "log"), *between)) == found


# --- load balancers, web ACLs, API stages -------------------------------------------------------


def balancer_key(arn, prefix="alb/"):
    name = arn.partition("loadbalancer/")[2].replace("/", ".")
    return (
        f"{prefix}AWSLogs/{ACCOUNT}/elasticloadbalancing/{REGION}/{NOW:%Y/%m/%d}/"
        f"{ACCOUNT}_elasticloadbalancing_{REGION}_{name}_{NOW:%Y%m%dT%H%MZ}_192.0.2.1_abc.log.gz"
    )


def test_a_load_balancer_s_logs_are_where_its_attributes_say(emulator, custodian, s3):
    arn = make_balancer(emulator)
    put(s3, balancer_key(arn), edge_logs.load_balancer([*burst("198.18.7.7", 0, [2100]), *CALM]))
    put(s3, balancer_key(arn.replace("shop", "other")), edge_logs.load_balancer(ATTACK))
    run = custodian("load-balancer-flood")
    assert addresses(run) == {"198.18.7.7/32"}
    assert run.resources[0]["c7n:HttpFloodLogs"]["lines"] == 2120


def test_a_load_balancer_without_access_logs_is_reported(emulator, custodian, s3):
    arn = make_balancer(emulator, bucket="")
    assert codes(custodian("load-balancer-flood")) == {("LoggingDisabled", arn)}


def web_acl_key(scope=REGION, name="edge"):
    hour = f"{NOW:%Y/%m/%d/%H}"
    return f"AWSLogs/{ACCOUNT}/WAFLogs/{scope}/{name}/{hour}/00/{ACCOUNT}_waflogs_1.log.gz"


def test_a_web_acl_s_logs_are_read_from_s3(emulator, custodian, s3):
    s3.create_bucket(Bucket="aws-waf-logs-edge")
    make_web_acl(emulator)
    body = edge_logs.waf(burst("198.18.7.7", 0, [60], status=403))
    put(s3, web_acl_key(), body, "aws-waf-logs-edge")
    run = custodian("web-acl-flood")
    assert addresses(run, "errors") == {"198.18.7.7/32"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"logs": False}, "LoggingDisabled"),
        (
            {"destination": f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/aws-waf-logs-1"},
            "LogsNotInS3",
        ),
    ],
)
def test_a_web_acl_without_logs_in_s3_is_reported(emulator, custodian, options, code):
    make_web_acl(emulator, **options)
    run = custodian("web-acl-flood")
    assert run.resources == []
    assert {each["code"] for each in run.not_evaluated} == {code}


def test_of_a_stage_s_web_acl_only_the_stage_s_own_lines_count(emulator, custodian, s3):
    s3.create_bucket(Bucket="aws-waf-logs-edge")
    acl = make_web_acl(emulator)
    stage = make_stage(emulator, acl)
    own, other = f"{ACCOUNT}:{stage}:prod", f"{ACCOUNT}:other:prod"
    put(
        s3,
        web_acl_key(),
        edge_logs.waf(burst("198.18.7.7", 0, [300]), own)
        + edge_logs.waf(burst("198.18.8.8", 0, [300]), other),
        "aws-waf-logs-edge",
    )
    run = custodian(policy(FLOOD, resource="aws.rest-stage"))
    assert addresses(run) == {"198.18.7.7/32"}


def test_a_stage_without_a_web_acl_is_reported(emulator, custodian):
    make_stage(emulator, None)
    run = custodian("api-stage-flood")
    assert {each["code"] for each in run.not_evaluated} == {"NoWebAcl"}


def make_stage(emulator, acl):
    client = emulator.client("apigateway")
    api = client.create_rest_api(name="shop")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    client.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    client.put_integration(restApiId=api, resourceId=root, httpMethod="GET", type="MOCK")
    deployment = client.create_deployment(restApiId=api)["id"]
    client.create_stage(restApiId=api, stageName="prod", deploymentId=deployment)
    if acl:
        emulator.client("wafv2").associate_web_acl(
            WebACLArn=acl, ResourceArn=f"arn:aws:apigateway:{REGION}::/restapis/{api}/stages/prod"
        )
    return api


@pytest.mark.parametrize("protected", [True, False])
def test_a_load_balancer_s_web_acl_can_be_asked_instead(emulator, custodian, s3, protected):
    s3.create_bucket(Bucket="aws-waf-logs-edge")
    acl, arn = make_web_acl(emulator), make_balancer(emulator, bucket="")
    if protected:
        emulator.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=arn)
    source = f"{ACCOUNT}-{arn.partition('loadbalancer/')[2]}"
    put(s3, web_acl_key(), edge_logs.waf(ATTACK, source), "aws-waf-logs-edge")
    run = custodian(policy({**FLOOD, "source": "waf-log"}, resource="aws.app-elb"))
    if protected:
        assert addresses(run) == {"198.18.7.7/32"}
    else:
        assert codes(run) == {("NoWebAcl", arn)}


def test_behind_proxies_the_client_is_the_last_hop_that_is_not_one(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    spoofed = "10.9.9.9, 203.0.113.99, 198.18.7.7, 192.0.2.8"
    client = {"field": "x-forwarded-for", "trusted-proxies": ["192.0.2.0/28", "2001:db8:1::/48"]}
    requests = [
        *burst("192.0.2.7", 0, [150], forwarded=spoofed),
        *burst("2001:db8:1::7", 0, [150], forwarded=spoofed),
        *burst("192.0.2.7", 1, [300], forwarded="192.0.2.9"),
        *burst("192.0.2.7", 1, [300], forwarded="unknown"),
    ]
    put(s3, key_of(distribution), cloudfront(requests))
    run = custodian(policy({**FLOOD, "client-ip": client}, resource="aws.distribution"))
    assert addresses(run) == {"198.18.7.7/32"}
    assert run.resources[0]["c7n:HttpFloodLogs"]["unattributed"] == 600


# --- Athena -------------------------------------------------------------------------------------

TABLE = {"database": "edge", "table": "cloudfront", "workgroup": "primary", "layout": "cloudfront"}


def recent_scene():
    """A scene that ends a minute ago: Athena is asked for what happened within the lookback."""
    start = NOW.replace(second=0, microsecond=0) - timedelta(minutes=13)
    requests, expected = planted(4)
    return edge_logs.moved(requests, start), expected


def test_athena_gives_the_same_answer_as_python(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    requests, expected = recent_scene()
    for number in range(2):
        put(s3, key_of(distribution, f"{number}"), cloudfront(requests[number::2]))
    table = {"edge.cloudfront": {"bucket": BUCKET, "prefix": "cdn/"}}
    emulator.seed("athena", ACCOUNT, REGION, "tables", table)
    asked = {"engine": "athena", "athena": TABLE, "lookback": 60}
    answers = [
        custodian(policy({**FLOOD, **engine}, resource="aws.distribution"))
        for engine in (asked, {"engine": "python"}, {"engine": "duckdb"})
    ]
    by_athena, by_python, by_duckdb = (
        [{**each, "samples": []} for each in run.resources[0]["c7n:HttpFlood"]] for run in answers
    )
    assert by_athena == by_python == by_duckdb
    assert {each["address"] for each in by_athena} == set().union(*expected.values())
    assert traffic(answers[0])[0]["minutes"] == traffic(answers[1])[0]["minutes"]


def test_athena_is_asked_where_there_is_too_much_to_read(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    put(s3, key_of(distribution), cloudfront(recent_scene()[0]))
    table = {"edge.cloudfront": {"bucket": BUCKET, "prefix": "cdn/"}}
    emulator.seed("athena", ACCOUNT, REGION, "tables", table)
    emulator.clear_calls()
    options = {"athena": TABLE, "max-bytes": "1KiB"}
    run = custodian(policy({**FLOOD, **options}, resource="aws.distribution"))
    assert len(run.resources) == 1
    assert emulator.calls("s3", "GetObject") == []


def test_a_query_that_fails_is_reported(emulator, custodian, s3):
    distribution, _ = make_distribution(emulator)
    asked = {"engine": "athena", "athena": TABLE}
    run = custodian(policy({**FLOOD, **asked}, resource="aws.distribution"))
    assert codes(run) == {("QueryFailed", distribution)}
    assert "cloudfront" in run.not_evaluated[0]["reason"]


# --- from logs to blocks ------------------------------------------------------------------------


def test_what_the_logs_show_is_blocked_and_its_neighbours_are_not(emulator, custodian, s3):
    acl = make_web_acl(emulator, logs=False)
    arn = make_balancer(emulator)
    emulator.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=arn)
    requests, expected = planted(5)
    put(s3, balancer_key(arn), edge_logs.load_balancer(requests))
    block = {"type": "waf-ip-block", "name": "flood", "from": "annotation", "protect": ["private"]}
    run = custodian(policy(FLOOD, resource="aws.app-elb", actions=[block]))
    (result,) = run.action("waf-ip-block")["results"]
    assert result["outcome"] == "blocked", result
    assert set(result["addresses"]) == set().union(*expected.values())


# --- what a policy cannot say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": [RULES[0], RULES[0]]}, "stands twice"),
        ({"rules": [{**RULES[0], "statuses": [404]}]}, "statuses belong to metric errors"),
        ({"rules": [{**RULES[0], "metric": "errors"}]}, "statuses belong to metric errors"),
        ({"rules": [{**RULES[0], "metric": "uri-scan"}]}, "uris belong to metric uri-scan"),
        ({"rules": [{**RULES[0], "uris": {"suffix": [".php"]}}]}, "uris belong to"),
        ({"uri-ignore": {"regex": ["("]}}, "regex '\\('"),
        ({"client-ip": {"field": "x-forwarded-for"}}, "needs trusted-proxies"),
        (
            {"client-ip": {"field": "x-forwarded-for", "trusted-proxies": ["192.0.2.1/24"]}},
            "has host bits set",
        ),
        ({"engine": "athena"}, "needs athena:"),
        ({"engine": "duckdb", "group-by": {"ipv6": 56}}, "group-by other than"),
        ({"engine": "duckdb", "widen": {"ipv4": 25, "min-hosts": 2}}, "widen to other than"),
        ({"engine": "duckdb", "uri-ignore": {"regex": ["^/x"]}}, "regex is matched by"),
        (
            {
                "engine": "duckdb",
                "client-ip": {"field": "x-forwarded-for", "trusted-proxies": ["192.0.2.0/24"]},
            },
            "read by engine python only",
        ),
    ],
)
def test_options_that_contradict_each_other_are_an_error_with_the_fix(changes, message):
    with pytest.raises(PolicyValidationError, match=message):
        validate(policy({**FLOOD, **changes}, resource="aws.distribution"))


def test_inside_not_it_is_refused():
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        validate(policy({"not": [FLOOD]}, resource="aws.distribution"))
