"""Taking blocks away: what is over goes, what is not stays, and an idle sweep costs one call."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops_edge import protected
from tests.emulator import Emulator
from tests.harness import Custodian
from tests.waf_scene import Scene, blocking

POLICY, RING = "account-expire-flood-blocks", "secops-flood"


@pytest.fixture
def scene(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(protected, "_fetched", {})
    return Scene(emulator)


@pytest.fixture
def blocked(custodian: Custodian, scene: Scene) -> None:
    """An address that is blocked in the region, one in CloudFront, and one of another ring."""
    scene.web_acl()
    scene.web_acl("edge", "CLOUDFRONT")
    options = {"web-acls": "all", "name": RING}
    data = blocking(["9.9.9.9", "2600::9"], resource="aws.account", **options)
    custodian(data)
    data["actions"][0] |= {"name": "other"}
    custodian(data)


def outcomes(run: Any) -> dict[str, str]:
    return {row["scope"]: row["outcome"] for row in run.action("waf-ip-expire")["results"]}


@pytest.mark.usefixtures("blocked")
def test_what_is_over_goes_and_the_rest_stays(custodian: Custodian, scene: Scene) -> None:
    assert outcomes(custodian(POLICY)) == {"CLOUDFRONT": "skipped", "REGIONAL": "skipped"}
    scene.let_time_pass()
    run = custodian(POLICY)
    assert outcomes(run) == {"CLOUDFRONT": "skipped", "REGIONAL": "expired"}
    emptied = [row["ip-sets"] for row in run.action("waf-ip-expire")["results"] if "ip-sets" in row]
    assert [len(names) for names in emptied] == [2]
    assert scene.blocked(RING) == set()
    assert len(scene.blocked(RING, "CLOUDFRONT")) == 2
    assert len(scene.blocked("other")) == 2


@pytest.mark.usefixtures("blocked")
def test_an_idle_sweep_is_one_call_a_scope(custodian: Custodian, emulator: Emulator) -> None:
    emulator.clear_calls()
    custodian(POLICY)
    assert [call.operation for call in emulator.calls("wafv2")] == ["ListIPSets", "ListIPSets"]
    emulator.clear_calls()
    action = {"type": "waf-ip-expire", "name": RING, "scope": "CLOUDFRONT"}
    custodian({"name": "sweep", "resource": "aws.account", "actions": [action]})
    assert [call.params for call in emulator.calls("wafv2")] == [
        {"Scope": "CLOUDFRONT", "Limit": 100}
    ]


@pytest.mark.usefixtures("blocked")
def test_a_second_sweep_changes_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    scene.let_time_pass()
    custodian(POLICY)
    emulator.clear_calls()
    custodian(POLICY)
    assert emulator.calls("wafv2", "UpdateIPSet") == []


@pytest.mark.usefixtures("blocked")
def test_a_dry_run_names_the_ip_sets_and_leaves_them(custodian: Custodian, scene: Scene) -> None:
    scene.let_time_pass()
    plan = custodian(POLICY, dryrun=True)._json("plan.json", None)
    assert sorted(len(row["ip-sets"]) for row in plan) == [0, 2]
    assert len(scene.blocked(RING)) == 2


@pytest.mark.usefixtures("blocked")
def test_a_refused_list_is_not_evaluated(custodian: Custodian, emulator: Emulator) -> None:
    emulator.fault("wafv2", "ListIPSets", code="AccessDeniedException", times=1)
    run = custodian(POLICY)
    assert sorted(outcomes(run).values()) == ["not-evaluated", "skipped"]
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]


@pytest.mark.usefixtures("blocked")
def test_a_refused_update_is_a_failure(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    scene.let_time_pass()
    emulator.fault("wafv2", "UpdateIPSet", code="AccessDeniedException", times=None)
    assert outcomes(custodian(POLICY)) == {"CLOUDFRONT": "skipped", "REGIONAL": "failed"}


def test_an_ip_set_of_somebody_else_is_left_alone_and_told(
    custodian: Custodian, scene: Scene
) -> None:
    scene.waf.create_ip_set(
        Name="secops-flood-ipv4-3",
        Scope="REGIONAL",
        IPAddressVersion="IPV4",
        Addresses=["9.9.9.9/32"],
    )
    run = custodian(POLICY)
    assert outcomes(run) == {"CLOUDFRONT": "skipped", "REGIONAL": "failed"}
    assert scene.blocked(RING) == {"9.9.9.9/32"}


def test_the_scope_of_a_resource_is_its_own(custodian: Custodian) -> None:
    action = {"type": "waf-ip-expire", "name": RING, "scope": "REGIONAL"}
    with pytest.raises(PolicyValidationError, match="scope follows from the resource"):
        custodian({"name": "sweep", "resource": "aws.app-elb", "actions": [action]})
