"""Runs policies in one account and region, in this process.

c7n-org's ``run_account`` ends at the first policy that is denied, keeps the reasons of failures
in its log, and makes new sessions and clients for everything; so its parts are used here, and not
the whole: the variables, conditions, environment, cache and output tree are the same.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from c7n.config import Config
from c7n.policy import Policy
from c7n.resources import load_resources
from c7n.utils import join_output_path, local_session, reset_session_cache
from c7n_org.utils import account_tags, environ

from c7n_secops import outcomes
from c7n_secops_tools.fleet import outcome, policies
from c7n_secops_tools.fleet.accounts import Account
from c7n_secops_tools.fleet.functions import built
from c7n_secops_tools.fleet.ledger import Ledger
from c7n_secops_tools.fleet.outcome import Outcome, Unit, Why
from c7n_secops_tools.fleet.policies import Data
from c7n_secops_tools.fleet.sessions import Session, Sessions, check_account, environment
from c7n_secops_tools.report import evidence
from c7n_secops_tools.report.totals import COLUMN
from c7n_secops_tools.report.tree import per_resource

ALL = "all"
log = logging.getLogger("c7n_secops.fleet")


@dataclass(frozen=True)
class Options:
    """What all units of a sweep share; the names are c7n-org's."""

    output_dir: str
    cache_period: int
    cache_path: str
    metrics: bool | str
    dryrun: bool
    debug: bool = False


@dataclass(frozen=True)
class Place:
    """One account and region, and the policies that are meant for it.

    The region ``all`` is a question: which regions has the account enabled?
    """

    account: Account
    region: str
    policies: tuple[Data, ...]
    options: Options


@dataclass(frozen=True)
class Work(Place):
    """Policies to run; ``deliveries`` counts those that came to nothing."""

    ledger: Ledger
    deliveries: int = 0

    @property
    def units(self) -> list[Unit]:
        """The units that it is made of."""
        return [Unit(self.account["name"], self.region, data["name"]) for data in self.policies]

    def blank(self, data: Data, state: str, *whys: Why) -> Outcome:
        """The outcome of a policy of which nothing is known but this."""
        resource = data["resource"]
        return Outcome(
            account=self.account["name"],
            account_id=self.account["account_id"],
            region=self.region,
            policy=data["name"],
            resource=resource if "." in resource else f"aws.{resource}",
            state=state,
            not_evaluated=list(whys),
            digest=policies.digest(data, self.options.dryrun),
        )


def warm(data: Sequence[Data]) -> None:
    """Load what the policies' calls need, so that processes forked from this one have it."""
    load_resources(policies.resource_types(data))
    session = Session(aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    options = Config.empty(account_id="000000000000", region="us-east-1", cache=None)
    named = {"sts"}
    for policy in data:
        permissions = Policy(copy.deepcopy(policy), options).get_permissions()
        named.update(permission.partition(":")[0] for permission in permissions)
    for service in sorted(named & set(session.get_available_services())):
        session.client(service, region_name=options.region)


def run(work: Work) -> list[Outcome]:
    """Run the policies that nobody else has, and return what became of these."""
    return list(_run(work))


def regions(place: Place) -> list[str] | Why:
    """The regions that the account has enabled, or why they are not known."""
    reset_session_cache()
    try:
        session = Sessions(place.account, "us-east-1")()
        found = session.client("ec2").describe_regions()["Regions"]
    except Exception as error:
        if place.options.debug:
            raise
        return outcome.of_session(error)
    return sorted(region["RegionName"] for region in found)


def _run(work: Work) -> Iterator[Outcome]:
    with ExitStack() as stack:
        try:
            sessions = enter(stack, work)
        except Exception as error:
            if work.options.debug:
                raise
            yield from _unreached(work, outcome.of_session(error))
            return
        for data in work.policies:
            found = work.blank(data, outcome.RAN)
            if work.ledger.claim(found.unit):
                _run_policy(work, data, sessions, found)
                work.ledger.finish(found)
                yield found


def enter(stack: ExitStack, place: Place) -> Sessions:
    """Set the environment as c7n-org does, and make sure that the session is the account's."""
    load_resources(policies.resource_types(place.policies))
    reset_session_cache()  # Custodian keeps sessions by region only: none may outlive its account
    sessions = Sessions(place.account, place.region)
    stack.enter_context(environ(**account_tags(place.account)))
    session = local_session(sessions)
    check_account(session, place.account)
    if len(sessions.roles) > 1:
        stack.enter_context(environ(**environment(session, place.account, place.region)))
    return sessions


def _unreached(work: Work, why: Why) -> Iterator[Outcome]:
    log.warning("no session: %s %s: %s", work.account["name"], work.region, why.reason)
    for data in work.policies:
        found = work.blank(data, outcome.FAILED, why)
        if work.ledger.claim(found.unit):
            work.ledger.finish(found)
            yield found


def _run_policy(work: Work, data: Data, sessions: Sessions, found: Outcome) -> None:
    """Run one policy and write into ``found`` what became of it."""
    log.debug("Running policy:%s account:%s region:%s", found.policy, found.account, found.region)
    sessions.unanswered.clear()
    start = time.monotonic()
    try:
        policy = prepared(work, data, sessions)
        if not policy.is_runnable():
            found.state = outcome.SKIPPED
            return
        results = _listen(policy)
        resources = built.provision(policy) if built.deploys(policy) else policy.run() or []
    except Exception as error:
        if work.options.debug:
            raise
        why = outcome.of_error(error, sessions.absent())
        found.state = outcome.ABSENT if why.why == outcome.ABSENT else outcome.FAILED
        found.not_evaluated = [why]
        log.warning("failed %s %s: %s", " ".join(found.unit), why.code, why.reason)
    else:
        _count(found, policy, resources, results, sessions)
    finally:
        found.seconds = round(time.monotonic() - start, 3)


def prepared(place: Place, data: Data, sessions: Sessions) -> Any:
    """The policy as it is to run there, with the account's variables in it."""
    return policies.expanded(copy.deepcopy(data), _config(place), place.account, sessions)


def _config(place: Place) -> Config:
    account, options = place.account, place.options
    roles = account.get("role")
    role = roles if isinstance(roles, str) else None
    return Config.empty(
        region=place.region,
        cache=f"{options.cache_path}/{account['account_id']}-{place.region}.cache",
        cache_period=options.cache_period,
        dryrun=options.dryrun,
        output_dir=join_output_path(options.output_dir, account["name"], place.region),
        account_id=account["account_id"],
        metrics_enabled=options.metrics,
        assume_role=role,
        external_id=account.get("external_id") if role else None,
        profile=None if roles else account.get("profile"),
        log_group=None,
    )


def _listen(policy: Any) -> list[Any]:
    """Keep what each action will return; it is in no file where the output goes to S3."""
    results: list[Any] = []

    def listening(process: Any) -> Any:
        def listened(*arguments: Any, **named: Any) -> Any:
            result = process(*arguments, **named)
            results.append(result)
            return result

        return listened

    for action in policy.resource_manager.actions:
        action.process = listening(action.process)
    return results


def _count(
    found: Outcome, policy: Any, resources: Any, results: list[Any], sessions: Sessions
) -> None:
    dry = bool(policy.options.dryrun)
    if built.deploys(policy):
        found.state = outcome.DEPLOYED
        return
    found.state = outcome.DRY_RUN if dry else outcome.RAN
    found.matched = len(resources)
    found.severity = _severity(policy, resources)
    counted: Counter[str] = Counter()
    told = [per_resource(result) for result in results]
    for rows in told:
        counted.update(COLUMN.get(str(row["outcome"]), "failed") for row in rows or ())
    found.failed = counted["failed"]
    silent = bool(results) and None in told
    found.acted = None if silent and not counted["changed"] else counted["changed"]
    found.not_evaluated = _reasons(policy, sessions)
    if any(why.why in outcome.OURS_TO_MEND for why in found.not_evaluated):
        found.state = outcome.INCOMPLETE


def _reasons(policy: Any, sessions: Sessions) -> list[Why]:
    absent = sessions.absent()
    counted = Counter(
        (record["code"], record["reason"][: outcome.REASON_LENGTH])
        for record in outcomes.recorded(policy.ctx)
    )
    return [
        Why(outcome.of_code(code, reason, absent), code, reason, count)
        for (code, reason), count in counted.most_common()
    ]


def _severity(policy: Any, resources: list[dict[str, Any]]) -> str:
    """The gravest of the policy's own severity and its resources' findings; empty without any."""
    if not resources:
        return ""
    metadata = policy.data.get("metadata") or {}
    seen = {str(metadata.get("severity", "")).upper()}
    seen.update(finding.severity for row in resources for finding in evidence.findings(row))
    return next((severity for severity in evidence.RANKED if severity in seen), "")
