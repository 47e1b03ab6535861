"""The posture of the edge: what the shipped policies find, change and leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops_edge import rate_rules
from tests.edge_scene import (
    ALLOWED,
    CACHING_DISABLED,
    CACHING_OPTIMIZED,
    EVERY_METHOD,
    behavior,
    custom_domain,
    distribution,
    endpoint,
    group_rule,
    method,
    origin,
    rate_rule,
    record,
    rest_api,
    rule_group,
    web_acl,
    zone,
)
from tests.harness import ACCOUNT, REGION, ROOT
from tests.inspector_data import policy, validate

VARIABLES = {"edge_web_acl": "edge", "waf_log_destination": "arn:aws:s3:::aws-waf-logs-acme"}
LOG = {"Enabled": True, "IncludeCookies": False, "Bucket": "logs.s3.amazonaws.com", "Prefix": ""}


def ids(run, key="Id"):
    return sorted(resource[key] for resource in run.resources)


def config(emulator, made):
    return emulator.client("cloudfront").get_distribution_config(Id=made["Id"])[
        "DistributionConfig"
    ]


def changes(emulator):
    verbs = ("Update", "Create", "Put", "Delete", "Associate")
    return [call.operation for call in emulator.calls() if call.operation.startswith(verbs)]


# --- distributions --------------------------------------------------------------------------------


def test_a_distribution_without_a_web_acl_is_found_and_one_that_is_off_is_not(emulator, custodian):
    acl = web_acl(emulator)
    distribution(emulator, WebACLId=acl)
    distribution(emulator, Enabled=False)
    bare = distribution(emulator)
    classic = distribution(emulator, WebACLId="0d1b2f5c-0000-4000-8000-000000000000")
    assert ids(custodian("distribution-without-web-acl")) == sorted([bare["Id"], classic["Id"]])


def test_the_web_acl_named_is_associated_where_the_owner_allows_it_and_once(emulator, custodian):
    acl, longer = web_acl(emulator, "edge"), web_acl(emulator, "edge-of-somebody-else")
    allowed = distribution(emulator, tags=ALLOWED)
    other = distribution(emulator)
    kept = distribution(emulator, tags=ALLOWED, WebACLId=longer)
    custodian("distribution-set-web-acl", vars=VARIABLES)
    assert config(emulator, allowed)["WebACLId"] == acl
    assert config(emulator, other)["WebACLId"] == ""
    assert config(emulator, kept)["WebACLId"] == longer
    emulator.clear_calls()
    assert custodian("distribution-set-web-acl", vars=VARIABLES).resources == []
    assert changes(emulator) == []


def test_no_web_acl_is_taken_for_another_whose_name_begins_alike(emulator, custodian):
    web_acl(emulator, "edge-of-somebody-else")
    allowed = distribution(emulator, tags=ALLOWED)
    with pytest.raises(ValueError, match="matching to none"):
        custodian("distribution-set-web-acl", vars=VARIABLES)
    assert config(emulator, allowed)["WebACLId"] == ""


@pytest.mark.parametrize("where", ["default", "other"])
def test_plain_http_is_found_in_any_behaviour_and_redirected(emulator, custodian, where):
    plain = behavior(viewers="allow-all")
    if where == "default":
        made = distribution(emulator, default=plain, tags=ALLOWED)
    else:
        made = distribution(
            emulator, "o.example.com", {**plain, "PathPattern": "/a/*"}, tags=ALLOWED
        )
    secure = distribution(emulator, default=behavior(viewers="https-only"))
    assert ids(custodian("distribution-plain-http")) == [made["Id"]]
    custodian("distribution-redirect-to-https")
    assert custodian("distribution-plain-http").resources == []
    assert config(emulator, secure)["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"


def test_old_tls_of_viewers_is_found_and_raised_only_for_own_certificates(emulator, custodian):
    old = {
        "CloudFrontDefaultCertificate": False,
        "ACMCertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1",
        "MinimumProtocolVersion": "TLSv1.1_2016",
    }
    own = distribution(emulator, ViewerCertificate=old, tags=ALLOWED)
    default = distribution(
        emulator, ViewerCertificate={"CloudFrontDefaultCertificate": True}, tags=ALLOWED
    )
    distribution(emulator)
    assert ids(custodian("distribution-old-viewer-tls")) == sorted([own["Id"], default["Id"]])
    assert ids(custodian("distribution-set-viewer-tls")) == [own["Id"]]
    certificate = config(emulator, own)["ViewerCertificate"]
    assert certificate["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert certificate["ACMCertificateArn"] == old["ACMCertificateArn"]
    assert config(emulator, own)["Enabled"] is True


def test_old_tls_and_plain_http_to_an_origin_are_found(emulator, custodian):
    old = distribution(emulator, origin("a.example.com", tls=["TLSv1", "TLSv1.2"]), tags=ALLOWED)
    plain = distribution(emulator, origin("b.example.com", protocol="http-only"), tags=ALLOWED)
    viewer = distribution(emulator, origin("c.example.com", protocol="match-viewer"))
    distribution(emulator)
    found = custodian("distribution-old-origin-tls")
    assert ids(found) == sorted([old["Id"], plain["Id"], viewer["Id"]])
    assert ids(custodian("distribution-set-origin-tls")) == [old["Id"]]
    (changed,) = config(emulator, old)["Origins"]["Items"]
    assert changed["CustomOriginConfig"]["OriginSslProtocols"]["Items"] == ["TLSv1.2"]
    (kept,) = config(emulator, plain)["Origins"]["Items"]
    assert kept["CustomOriginConfig"]["OriginProtocolPolicy"] == "http-only"


def test_a_distribution_that_answers_every_country_is_found(emulator, custodian):
    distribution(emulator)
    everywhere = distribution(
        emulator, Restrictions={"GeoRestriction": {"RestrictionType": "none", "Quantity": 0}}
    )
    assert ids(custodian("distribution-without-geo-restriction")) == [everywhere["Id"]]


def test_a_distribution_without_shield_is_found_and_protected_once(emulator, custodian):
    bare = distribution(emulator, tags=ALLOWED)
    protected = distribution(emulator)
    emulator.client("shield").create_protection(Name="p", ResourceArn=protected["ARN"])
    assert ids(custodian("distribution-without-shield")) == [bare["Id"]]
    custodian("distribution-set-shield")
    assert custodian("distribution-without-shield").resources == []


# --- distribution-ttl -----------------------------------------------------------------------------


def test_a_dynamic_behaviour_that_is_cached_is_found_with_where_the_time_stands(
    emulator, custodian
):
    client = emulator.client("cloudfront")
    made = client.create_cache_policy(
        CachePolicyConfig={"Name": "ten", "MinTTL": 10, "DefaultTTL": 10, "MaxTTL": 10}
    )["CachePolicy"]["Id"]
    caught = distribution(
        emulator,
        "o.example.com",
        behavior(PathPattern="/api/*", methods=EVERY_METHOD, policy=CACHING_OPTIMIZED),
        behavior(PathPattern="/form", methods=EVERY_METHOD, policy=made),
        behavior(PathPattern="/none", methods=EVERY_METHOD, policy=CACHING_DISABLED),
        behavior(PathPattern="/img/*", policy=CACHING_OPTIMIZED),
        default=behavior(methods=EVERY_METHOD, min_ttl=60),
    )
    distribution(emulator, default=behavior(methods=EVERY_METHOD))
    distribution(emulator, default=behavior(policy=CACHING_OPTIMIZED))
    run = custodian("distribution-caches-dynamic")
    assert ids(run) == [caught["Id"]]
    rows = run.resources[0]["c7n:DistributionTtls"]
    assert [(row["Path"], row["MinTTL"], row["CachePolicy"]) for row in rows] == [
        ("/api/*", 1, "Managed-CachingOptimized"),
        ("/form", 10, "ten"),
        ("*", 60, ""),
    ]
    assert [row["CachePolicyId"] for row in rows] == [CACHING_OPTIMIZED, made, ""]


@pytest.mark.parametrize("pattern", ["account/*", "/account/*"])
@pytest.mark.parametrize("named", ["account/*", "/account/*"])
def test_paths_name_behaviours_that_are_dynamic_though_they_only_read(
    emulator, custodian, pattern, named
):
    made = distribution(
        emulator, "o.example.com", behavior(PathPattern=pattern, policy=CACHING_OPTIMIZED)
    )
    block = {"type": "distribution-ttl", "paths": [named]}
    assert ids(custodian(policy(block, resource="aws.distribution"))) == [made["Id"]]
    for other in ({"paths": ["/other/*"]}, {"paths": [named], "minimum": 1}):
        block = {"type": "distribution-ttl", **other}
        assert custodian(policy(block, resource="aws.distribution")).resources == []


def test_a_cache_policy_is_read_once_and_a_refused_one_is_not_evaluated(emulator, custodian):
    cached = behavior(methods=EVERY_METHOD, policy=CACHING_OPTIMIZED)
    unknown = [distribution(emulator, default=cached)["Id"] for _ in range(2)]
    certain = distribution(
        emulator,
        "o.example.com",
        {**cached, "PathPattern": "/a"},
        default=behavior(methods=EVERY_METHOD, min_ttl=5),
    )
    assert len(ids(custodian("distribution-caches-dynamic"))) == 3
    assert len(emulator.calls("cloudfront", "GetCachePolicy")) == 1
    emulator.fault("cloudfront", "GetCachePolicy", code="AccessDenied", status=403, times=None)
    run = custodian("distribution-caches-dynamic")
    assert ids(run) == [certain["Id"]]
    assert sorted(row["resource"] for row in run.not_evaluated) == sorted(unknown)
    assert {row["code"] for row in run.not_evaluated} == {"AccessDenied"}


# --- distribution-logging -------------------------------------------------------------------------


def deliver(emulator, made):
    """Writes a distribution's access logs as standard logging v2 does; returns where to."""
    logs = emulator.client("logs")
    logs.put_delivery_source(name="cf", resourceArn=made["ARN"], logType="ACCESS_LOGS")
    where = logs.put_delivery_destination(
        name="bucket",
        outputFormat="parquet",
        deliveryDestinationConfiguration={"destinationResourceArn": "arn:aws:s3:::logs"},
    )["deliveryDestination"]["arn"]
    logs.create_delivery(deliverySourceName="cf", deliveryDestinationArn=where)
    return where


def test_a_distribution_whose_logs_nobody_keeps_is_found(emulator, custodian):
    standard = distribution(emulator, Logging=LOG)
    delivered = distribution(emulator)
    silent = distribution(emulator)
    where = deliver(emulator, delivered)
    run = custodian("distribution-without-logs")
    assert ids(run) == [silent["Id"]]
    assert run.resources[0]["c7n:DistributionLogs"] == []
    run = custodian(policy("distribution-logging", resource="aws.distribution"))
    assert {row["Id"]: row["c7n:DistributionLogs"] for row in run.resources} == {
        standard["Id"]: [{"Kind": "standard", "Destination": "logs.s3.amazonaws.com"}],
        delivered["Id"]: [{"Kind": "delivery", "Destination": where}],
    }


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("logs", "DescribeDeliverySources"),
        ("logs", "DescribeDeliveries"),
        ("cloudfront", "GetDistributionConfig"),
    ],
)
def test_logs_that_cannot_be_asked_for_are_not_evaluated(emulator, custodian, service, operation):
    made = distribution(emulator)
    deliver(emulator, made)
    emulator.fault(service, operation, code="AccessDeniedException", status=403, times=None)
    run = custodian("distribution-without-logs")
    assert run.resources == []
    assert [row["resource"] for row in run.not_evaluated] == [made["Id"]]


# --- web ACLs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scope", "region"),
    [
        ("web-acl-without-logs", "CLOUDFRONT", "eu-west-1"),
        ("web-acl-without-logs-regional", "REGIONAL", "eu-west-1"),
    ],
)
def test_a_web_acl_that_logs_nothing_is_found_in_both_scopes(
    emulator, custodian, name, scope, region
):
    home = REGION if scope == "CLOUDFRONT" else region
    silent = web_acl(emulator, "silent", scope=scope, region=home)
    logged = web_acl(emulator, "logged", scope=scope, region=home)
    emulator.client("wafv2", region=home).put_logging_configuration(
        LoggingConfiguration={
            "ResourceArn": logged,
            "LogDestinationConfigs": ["arn:aws:s3:::aws-waf-logs-x"],
        }
    )
    assert ids(custodian(name, region=region), "ARN") == [silent]


def test_a_web_acl_is_made_to_log_without_secrets_and_once(emulator, custodian):
    silent = web_acl(emulator, "silent")
    custodian("web-acl-set-logs", vars=VARIABLES)
    made = emulator.client("wafv2").get_logging_configuration(ResourceArn=silent)
    assert made["LoggingConfiguration"]["LogDestinationConfigs"] == [
        VARIABLES["waf_log_destination"]
    ]
    hidden = made["LoggingConfiguration"]["RedactedFields"]
    assert [field["SingleHeader"]["Name"] for field in hidden] == ["authorization", "cookie"]
    assert custodian("web-acl-set-logs", vars=VARIABLES).resources == []


def test_a_web_acl_without_a_rate_rule_that_turns_away_is_found(emulator, custodian):
    web_acl(emulator, "own", rate_rule())
    web_acl(emulator, "grouped", group_rule(rule_group(emulator, rate_rule())))
    expected = {
        "none": [],
        "counts": [rate_rule(action="Count")],
        "part": [rate_rule(ScopeDownStatement={"GeoMatchStatement": {"CountryCodes": ["DE"]}})],
        "whole-group-counts": [group_rule(rule_group(emulator, rate_rule()), "Count")],
        "rule-of-group-counts": [
            group_rule(
                rule_group(emulator, rate_rule("rate")),
                RuleActionOverrides=[{"Name": "rate", "ActionToUse": {"Count": {}}}],
            )
        ],
        "rule-of-group-excluded": [
            group_rule(rule_group(emulator, rate_rule("rate")), ExcludedRules=[{"Name": "rate"}])
        ],
    }
    for name, rules in expected.items():
        web_acl(emulator, name, *rules)
    run = custodian("web-acl-without-rate-rule")
    assert {row["Name"]: len(row["c7n:WebAclRateRules"]) for row in run.resources} == {
        name: len(rules) for name, rules in expected.items()
    }
    actions = {
        row["Name"]: [rule["Action"] for rule in row["c7n:WebAclRateRules"]]
        for row in run.resources
    }
    assert actions["whole-group-counts"] == actions["rule-of-group-counts"] == ["Count"]
    assert actions["rule-of-group-excluded"] == ["Count"]


def test_a_group_that_counts_by_itself_can_be_made_to_block(emulator, custodian):
    arn = rule_group(emulator, rate_rule("rate", "Count"))
    block = [{"Name": "rate", "ActionToUse": {"Block": {}}}]
    web_acl(emulator, "edge", group_rule(arn, RuleActionOverrides=block))
    assert custodian("web-acl-without-rate-rule").resources == []


def test_regional_web_acls_are_asked_in_their_region(emulator, custodian):
    bare = web_acl(emulator, "bare", scope="REGIONAL")
    web_acl(emulator, "own", rate_rule(), scope="REGIONAL")
    web_acl(emulator, "g", group_rule(rule_group(emulator, rate_rule(), scope="REGIONAL")),
            scope="REGIONAL")  # fmt: skip
    assert ids(custodian("web-acl-without-rate-rule-regional"), "ARN") == [bare]


@pytest.mark.parametrize(
    ("conditions", "matched"),
    [
        ({}, True),
        ({"limit": {"op": "lte", "value": 100}}, True),
        ({"limit": {"op": "lt", "value": 100}}, False),
        ({"window": [60]}, True),
        ({"window": [300, 600]}, False),
        ({"action": ["Captcha"]}, True),
        ({"action": ["Block"]}, False),
        ({"scoped-down": False}, True),
        ({"scoped-down": True}, False),
        ({"window": [60], "limit": {"op": "gt", "value": 100}}, False),
        ({"absent": True, "window": [300]}, True),
        ({"absent": True, "window": [60]}, False),
    ],
)
def test_one_rule_must_meet_every_condition(emulator, custodian, conditions, matched):
    arn = web_acl(emulator, "edge", rate_rule("r", "Captcha", Limit=100, EvaluationWindowSec=60))
    block = {"type": "web-acl-rate-rule", **conditions}
    query = [{"Scope": "CLOUDFRONT"}]
    run = custodian(policy(block, resource="aws.wafv2", query=query))
    assert ids(run, "ARN") == [arn] * matched


def test_what_a_rate_rule_is_stands_in_the_annotation(emulator, custodian):
    group = rule_group(emulator, rate_rule("inner", Limit=10))
    web_acl(emulator, "edge", rate_rule("own", EvaluationWindowSec=120), group_rule(group))
    run = custodian(
        policy("web-acl-rate-rule", resource="aws.wafv2", query=[{"Scope": "CLOUDFRONT"}])
    )
    common = {"Action": "Block", "AggregateKeyType": "IP", "ScopedDown": False}
    assert run.resources[0]["c7n:WebAclRateRules"] == [
        {**common, "Name": "own", "RuleGroup": "", "Limit": 2000, "Window": 120},
        {**common, "Name": "inner", "RuleGroup": group, "Limit": 10, "Window": 300},
    ]


def test_the_groups_that_firewall_manager_puts_before_and_after_are_read():
    groups = {"arn:first": [rate_rule("first")], "arn:last": [rate_rule("last")]}

    def managed(arn: str, override: str) -> dict[str, Any]:
        statement = {"RuleGroupReferenceStatement": {"ARN": arn}}
        return {"FirewallManagerStatement": statement, "OverrideAction": {override: {}}}

    acl = {
        "PreProcessFirewallManagerRuleGroups": [managed("arn:first", "None")],
        "Rules": [rate_rule("own")],
        "PostProcessFirewallManagerRuleGroups": [managed("arn:last", "Count")],
    }
    found = [(row["Name"], row["Action"]) for row in rate_rules.find(acl, groups.__getitem__)]
    assert found == [("first", "Block"), ("own", "Block"), ("last", "Count")]


def test_a_rule_group_that_is_not_shown_leaves_the_web_acl_unevaluated_unless_another_rule_meets(
    emulator, custodian
):
    group = rule_group(emulator, rate_rule())
    unknown = web_acl(emulator, "unknown", group_rule(group))
    web_acl(emulator, "certain", group_rule(group), rate_rule())
    emulator.fault("wafv2", "GetRuleGroup", code="AccessDeniedException", times=None)
    run = custodian("web-acl-without-rate-rule")
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]
    assert [row["resource"] for row in run.not_evaluated] == [unknown.rsplit("/", 1)[1]]
    assert len(emulator.calls("wafv2", "GetRuleGroup")) == 1


# --- records --------------------------------------------------------------------------------------

BALANCER = "site-1.us-east-1.elb.amazonaws.com"
INSTANCE = "ec2-203-0-113-9.compute-1.amazonaws.com"


@pytest.mark.parametrize(
    ("domain", "kind", "value"),
    [
        (BALANCER, "ALIAS", f"dualstack.{BALANCER}."),
        (BALANCER, "CNAME", BALANCER.upper()),
        (INSTANCE, "A", "203.0.113.9"),
        (INSTANCE, "CNAME", INSTANCE),
        (
            "way.example.com.s3-website-us-east-1.amazonaws.com",
            "ALIAS",
            "s3-website-us-east-1.amazonaws.com.",
        ),
        (
            "way.example.com.s3.us-east-1.amazonaws.com",
            "ALIAS",
            "s3-website-us-east-1.amazonaws.com.",
        ),
        (
            "way.example.com.s3.amazonaws.com",
            "CNAME",
            "way.example.com.s3-website.eu-central-1.amazonaws.com",
        ),
    ],
)
def test_a_record_that_leads_to_an_origin_is_found(emulator, custodian, domain, kind, value):
    made = distribution(emulator, domain)
    where = zone(emulator)
    record(emulator, where, "way.example.com", kind, value)
    record(emulator, where, "www.example.com", "ALIAS", made["DomainName"])
    run = custodian("record-bypasses-distribution")
    assert ids(run, "Name") == ["way.example.com."]
    assert run.resources[0]["c7n:BypassesDistributions"] == [made["Id"]]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ALIAS", "dualstack.other-2.us-east-1.elb.amazonaws.com."),
        ("A", "203.0.113.10"),
        ("ALIAS", "s3-website-us-east-1.amazonaws.com."),
        ("TXT", f'"{BALANCER}"'),
        ("CNAME", f"not-{BALANCER}"),
    ],
)
def test_a_record_that_leads_elsewhere_is_not(emulator, custodian, kind, value):
    distribution(emulator, BALANCER)
    distribution(emulator, INSTANCE)
    distribution(emulator, "other.example.com.s3-website-us-east-1.amazonaws.com")
    record(emulator, zone(emulator), "way.example.com", kind, value)
    run = custodian("record-bypasses-distribution")
    assert run.resources == run.not_evaluated == []
    assert emulator.calls("apigateway") == []


def test_the_origin_of_a_distribution_that_is_off_and_a_private_record_are_left(
    emulator, custodian
):
    distribution(emulator, BALANCER, Enabled=False)
    record(emulator, zone(emulator), "way.example.com", "CNAME", BALANCER)
    distribution(emulator, "live.example.org")
    record(emulator, zone(emulator, private=True), "way.example.com", "CNAME", "live.example.org")
    assert custodian("record-bypasses-distribution").resources == []


def test_an_origin_s_own_record_is_left_and_what_it_leads_to_is_followed(emulator, custodian):
    made = distribution(emulator, "origin.example.com")
    where = zone(emulator)
    record(emulator, where, "origin.example.com", "CNAME", "inner.example.com")
    record(emulator, where, "inner.example.com", "ALIAS", f"dualstack.{BALANCER}.")
    record(emulator, where, "old.example.com", "CNAME", BALANCER)
    record(emulator, where, "older.example.com", "ALIAS", "old.example.com.")
    record(emulator, where, "www.example.com", "ALIAS", made["DomainName"])
    record(emulator, where, "example.com", "ALIAS", "www.example.com.")
    run = custodian("record-bypasses-distribution")
    assert ids(run, "Name") == ["inner.example.com.", "old.example.com.", "older.example.com."]
    assert run.resources[0]["c7n:BypassesDistributions"] == [made["Id"]]


def test_records_that_lead_in_a_circle_end(emulator, custodian):
    distribution(emulator, "a.example.com")
    where = zone(emulator)
    record(emulator, where, "a.example.com", "CNAME", "b.example.com")
    record(emulator, where, "b.example.com", "CNAME", "a.example.com")
    assert ids(custodian("record-bypasses-distribution"), "Name") == ["b.example.com."]


def test_a_custom_domain_name_of_an_api_that_is_an_origin_leads_around(emulator, custodian):
    api, other = rest_api(emulator), rest_api(emulator)
    made = distribution(emulator, endpoint(api))
    where = zone(emulator)
    for name, leads_to in (("api.example.com", api), ("other.example.com", other)):
        domain = custom_domain(emulator, name, leads_to)
        record(emulator, where, name, "ALIAS", domain["regionalDomainName"])
    run = custodian("record-bypasses-distribution")
    assert ids(run, "Name") == ["api.example.com."]
    assert run.resources[0]["c7n:BypassesDistributions"] == [made["Id"]]
    emulator.fault("apigateway", "GetDomainNames", code="AccessDeniedException", times=None)
    record(emulator, where, "direct.example.com", "CNAME", endpoint(api))
    run = custodian("record-bypasses-distribution")
    assert ids(run, "Name") == ["direct.example.com."]
    assert sorted(row["resource"] for row in run.not_evaluated) == [
        "api.example.com.",
        "other.example.com.",
    ]


@pytest.mark.parametrize(
    ("service", "operation"), [("cloudfront", "ListDistributions"), ("route53", "ListHostedZones")]
)
def test_records_are_not_evaluated_where_what_they_are_compared_with_is_refused(
    emulator, custodian, service, operation
):
    distribution(emulator, BALANCER)
    record(emulator, zone(emulator), "way.example.com", "CNAME", BALANCER)
    after = 1 if service == "route53" else 0  # Custodian lists the zones first
    emulator.fault(service, operation, code="AccessDenied", status=403, times=None, after=after)
    run = custodian("record-bypasses-distribution")
    assert run.resources == []
    assert "way.example.com." in [row["resource"] for row in run.not_evaluated]


# --- REST APIs ------------------------------------------------------------------------------------


def test_an_edge_optimised_api_is_found(emulator, custodian):
    edge = rest_api(emulator, "EDGE")
    rest_api(emulator, "REGIONAL")
    assert ids(custodian("rest-api-edge-optimised"), "id") == [edge["id"]]


def test_an_api_without_a_distribution_with_a_web_acl_in_front_is_found(emulator, custodian):
    acl = web_acl(emulator)
    apis = {name: rest_api(emulator) for name in ("fronted", "named", "bare", "no-acl", "off")}
    custom_domain(emulator, "origin.example.com", apis["named"])
    distribution(emulator, endpoint(apis["fronted"]), WebACLId=acl)
    distribution(emulator, "origin.example.com", WebACLId=acl)
    unarmed = distribution(emulator, endpoint(apis["no-acl"]))
    distribution(emulator, endpoint(apis["off"]), WebACLId=acl, Enabled=False)
    distribution(emulator, endpoint(apis["bare"], "eu-west-1"), WebACLId=acl)
    rest_api(emulator, "PRIVATE")
    run = custodian("rest-api-without-web-acl-in-front")
    wanted = sorted(apis[name]["id"] for name in ("bare", "no-acl", "off"))
    assert ids(run, "id") == wanted
    run = custodian(policy("behind-distribution", resource="aws.rest-api"))
    rows = {row["id"]: row["c7n:BehindDistributions"] for row in run.resources}
    assert sorted(rows) == sorted(apis[name]["id"] for name in ("fronted", "named", "no-acl"))
    assert rows[apis["no-acl"]["id"]] == [
        {"Id": unarmed["Id"], "Origin": endpoint(apis["no-acl"]), "WebACLId": ""}
    ]
    run = custodian(policy({"type": "behind-distribution", "web-acl": False},
                           resource="aws.rest-api"))  # fmt: skip
    assert ids(run, "id") == [apis["no-acl"]["id"]]


def statement(effect="Allow", principal="*", **more):
    return {"Effect": effect, "Principal": principal, "Action": "execute-api:Invoke",
            "Resource": "*", **more}  # fmt: skip


CONDITION = {"Condition": {"StringEquals": {"aws:Referer": "secret"}}}
OPEN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "allows-all": {"policy": [statement()]},
    "allows-all-principals": {"policy": [statement(principal={"AWS": "*"})]},
    "one-of-two-open": {"policy": [statement(**CONDITION), statement()]},
    "key-sent-not-needed": {"key": True, "needs": {"GET": True, "POST": False}},
    "key-needed-not-sent": {"key": False, "needs": {"GET": True}},
}
CLOSED: dict[str, dict[str, Any]] = {
    "condition": {"policy": [statement(**CONDITION)]},
    "denies": {"policy": [statement(), statement("Deny", **CONDITION)]},
    "one-principal": {"policy": [statement(principal={"AWS": ACCOUNT})]},
    "single-statement": {"policy": statement(**CONDITION)},
    "endpoint-disabled": {"disabled": True},
    "key": {"key": True, "needs": {"GET": True, "POST": True, "OPTIONS": False}},
}


@pytest.mark.parametrize(
    ("case", "is_open"),
    [(case, is_open) for cases, is_open in ((OPEN, True), (CLOSED, False)) for case in cases],
)
def test_an_api_that_can_be_asked_around_its_distribution_is_found(
    emulator, custodian, case, is_open
):
    given = {**OPEN, **CLOSED}[case]
    more: dict[str, Any] = {}
    if "policy" in given:
        document = {"Version": "2012-10-17", "Statement": given["policy"]}
        more["policy"] = json.dumps(document).replace('"', '\\"')  # as API Gateway answers it
    api = rest_api(emulator, disableExecuteApiEndpoint=given.get("disabled", False), **more)
    for verb, key in given.get("needs", {"GET": False}).items():
        method(emulator, api, verb, key=key)
    headers = {"X-Api-Key": "secret-key-value"} if given.get("key") else {}
    distribution(emulator, origin(endpoint(api), headers=headers), WebACLId=web_acl(emulator))
    run = custodian("rest-api-open-around-distribution")
    assert ids(run, "id") == [api["id"]] * is_open
    assert "secret-key-value" not in json.dumps(run.resources)
    block = {"type": "behind-distribution", "direct": "closed"}
    closed = custodian(policy(block, resource="aws.rest-api"))
    assert ids(closed, "id") == [api["id"]] * (not is_open)
    for resource in closed.resources:
        assert sum(resource["c7n:DirectAccess"].values()) == 1


def test_an_api_that_one_of_two_distributions_asks_without_a_key_is_open(emulator, custodian):
    api = rest_api(emulator)
    method(emulator, api, "GET", key=True)
    acl = web_acl(emulator)
    distribution(emulator, origin(endpoint(api), headers={"x-api-key": "k"}), WebACLId=acl)
    assert custodian("rest-api-open-around-distribution").resources == []
    distribution(emulator, endpoint(api), WebACLId=acl)
    assert ids(custodian("rest-api-open-around-distribution"), "id") == [api["id"]]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("cloudfront", "ListDistributions"),
        ("apigateway", "GetDomainNames"),
        ("apigateway", "GetBasePathMappings"),
        ("apigateway", "GetResources"),
    ],
)
def test_an_api_of_which_aws_does_not_tell_is_not_evaluated(
    emulator, custodian, service, operation
):
    api = rest_api(emulator)
    method(emulator, api, "GET", key=True)
    custom_domain(emulator, "origin.example.com", api)
    distribution(
        emulator,
        origin("origin.example.com", headers={"x-api-key": "k"}),
        WebACLId=web_acl(emulator),
    )
    emulator.fault(service, operation, code="AccessDeniedException", status=403, times=None)
    run = custodian("rest-api-open-around-distribution")
    assert run.resources == []
    assert [row["resource"] for row in run.not_evaluated] == [api["id"]]


def test_an_edge_api_becomes_regional_once_a_web_acl_stands_before_it_and_its_owner_allows_it(
    emulator, custodian
):
    acl = web_acl(emulator)
    ready, bare = rest_api(emulator, tags=ALLOWED), rest_api(emulator, tags=ALLOWED)
    other = rest_api(emulator)
    for api in (ready, other):
        distribution(emulator, endpoint(api), WebACLId=acl)
    assert ids(custodian("rest-api-make-regional"), "id") == [ready["id"]]
    kinds = {
        api["id"]: api["endpointConfiguration"]["types"]
        for api in emulator.client("apigateway").get_rest_apis()["items"]
    }
    assert kinds == {ready["id"]: ["REGIONAL"], bare["id"]: ["EDGE"], other["id"]: ["EDGE"]}
    assert custodian("rest-api-make-regional").resources == []


# --- the stack that stands before an API ---------------------------------------------------------


def test_the_stack_before_an_api_leaves_nothing_open(emulator, custodian):
    gateway = emulator.client("apigateway")
    api = rest_api(emulator, "REGIONAL")
    method(emulator, api, "GET", key=True)
    (root,) = gateway.get_resources(restApiId=api["id"])["items"]
    gateway.put_integration(
        restApiId=api["id"], resourceId=root["id"], httpMethod="GET", type="MOCK"
    )
    gateway.create_deployment(restApiId=api["id"], stageName="prod")
    given = {
        "ApiId": api["id"],
        "ApiStage": "prod",
        "ApiKey": "k" * 30,
        "DomainName": "api.example.com",
        "CertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1",
        "Countries": "DE,FR",
        "RateAction": "Block",
    }
    stacks = emulator.client("cloudformation")
    stacks.create_stack(
        StackName="api-edge",
        TemplateBody=(ROOT / "deploy" / "api-edge.yml").read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    (stack,) = stacks.describe_stacks(StackName="api-edge")["Stacks"]
    made = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    (kept,) = emulator.client("wafv2").list_logging_configurations(Scope="CLOUDFRONT")[
        "LoggingConfigurations"
    ]
    assert kept["ResourceArn"] == made["WebAclArn"]
    assert kept["LogDestinationConfigs"] == [f"arn:aws:s3:::{made['LogBucket']}"]
    (plan,) = gateway.get_usage_plans()["items"]
    (key,) = gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
    (sent,) = config(emulator, {"Id": made["DistributionId"]})["Origins"]["Items"][0][
        "CustomHeaders"
    ]["Items"]
    assert (sent["HeaderName"], sent["HeaderValue"]) == ("x-api-key", key["value"])
    for name in (
        "distribution-without-web-acl",
        "distribution-plain-http",
        "distribution-old-viewer-tls",
        "distribution-old-origin-tls",
        "distribution-without-geo-restriction",
        "distribution-without-logs",
        "web-acl-without-logs",
        "web-acl-without-rate-rule",
        "rest-api-without-web-acl-in-front",
        "rest-api-open-around-distribution",
    ):
        run = custodian(name)
        assert (run.resources, run.not_evaluated) == ([], []), name


# --- what an author may not write -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "block"),
    [
        ("aws.distribution", {"type": "distribution-ttl"}),
        ("aws.distribution", {"type": "distribution-logging"}),
        ("aws.wafv2", {"type": "web-acl-rate-rule"}),
        ("aws.rrset", {"type": "bypasses-distribution"}),
        ("aws.rest-api", {"type": "behind-distribution"}),
    ],
)
def test_a_filter_with_a_third_outcome_is_refused_inside_not(resource, block):
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        validate(policy({"not": [block]}, resource=resource))


def test_direct_access_needs_a_distribution():
    block = {"type": "behind-distribution", "absent": True, "direct": "open"}
    with pytest.raises(PolicyValidationError, match="direct needs a distribution to go around"):
        validate(policy(block, resource="aws.rest-api"))
