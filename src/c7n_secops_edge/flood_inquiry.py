"""Looks for floods in the access logs of AWS resources, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from weakref import WeakKeyDictionary

from c7n.utils import dumps

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError, read
from c7n_secops_edge.duck import SUFFIX
from c7n_secops_edge.flood import Analysis, analyse, log
from c7n_secops_edge.flood_athena import analyse_with_athena
from c7n_secops_edge.flood_duckdb import analyse_with_duckdb
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.flood_schema import size_of
from c7n_secops_edge.logs import places
from c7n_secops_edge.logs.files import LogFile
from c7n_secops_edge.logs.objects import delivered_files
from c7n_secops_edge.logs.places import NoLogsError, Place

TRAFFIC = "traffic.json"

_traffic: WeakKeyDictionary[Any, dict[str | None, list[dict[str, Any]]]] = WeakKeyDictionary()
"""What filters before wrote in a policy's run, by its execution id."""


class Inquiry:
    """One run of ``http-flood``: the filter, its options, and the time that it looks back from."""

    def __init__(self, element: Any):
        self.element, self.data = element, element.data
        self.options = Options.of(element.data)
        self.until = datetime.now(timezone.utc)
        self.since = self.until - timedelta(minutes=self.data.get("lookback", 20))
        self.traffic: list[dict[str, Any]] = []

    def examine(self, resource: dict[str, Any]) -> Analysis | None:
        """What a resource's logs say; None where they say nothing, which is then recorded.

        Where only some files could be read, that is recorded too: what they show is a match all
        the same, and what they do not show is not clean.
        """
        name = resource[self.element.manager.get_model().id]
        try:
            analysis = self.analysis(resource)
        except RefusedError as error:
            self.element.not_evaluated([resource], error.code, str(error))
            return None
        except NoLogsError as error:
            self.element.not_evaluated([resource], error.code, str(error))
            return None
        self.traffic.append(analysis.traffic(name))
        log.info("logs of %s: %s", name, dumps(analysis.logs, indent=None))
        if analysis.read.bad_lines:
            log.warning("%d lines of %s say nothing", analysis.read.bad_lines, name)
        for file, (code, reason) in analysis.read.unreadable.items():
            self.element.not_evaluated([resource], code, f"log file {file}: {reason}")
        for file, reason in analysis.read.truncated.items():
            self.element.not_evaluated([resource], "Truncated", f"log file {file}: {reason}")
        if analysis.read.lines and analysis.read.bad_lines == analysis.read.lines:
            self.element.not_evaluated([resource], "BadLines", "no line of the logs could be read")
        return analysis

    def analysis(self, resource: dict[str, Any]) -> Analysis:
        """Read a resource's logs with the engine that is asked for, or fits."""
        engine = self.data.get("engine", "auto")
        if engine == "athena":
            return self.ask_athena()
        place = self.place(resource)
        client = calls.client(self.element, "s3")
        files = delivered_files(client, place, self.since, self.until)
        size, most = sum(file.size for file in files), self.data.get("max-bytes", "2GiB")
        if not files:
            raise NoLogsError(
                "NoLogs",
                f"no log file of s3://{place.bucket}/{place.template} was delivered within "
                f"{self.data.get('lookback', 20)} minutes",
            )
        if size > size_of(most):
            if engine == "auto" and "athena" in self.data:
                return self.ask_athena()
            raise NoLogsError(
                "TooManyBytes",
                f"{len(files)} log files have {size} bytes, more than max-bytes {most}: look back "
                "less, raise max-bytes, or give athena",
            )
        if engine == "duckdb" or (engine == "auto" and has_parquet(files)):
            return analyse_with_duckdb(files, self.options, source=place.source)
        return analyse(files, self.options, source=place.source)

    def ask_athena(self) -> Analysis:
        return analyse_with_athena(self.element, self.options, self.data["athena"], self.since)

    def place(self, resource: dict[str, Any]) -> Place:
        """Where a resource's logs are: as the policy says, or the resource itself."""
        kind, source = self.element.manager.type, self.data.get("source", "auto")
        if "logs" in self.data:
            return places.given(self.data["logs"], resource[self.element.manager.get_model().id])
        if kind == "wafv2":
            return places.of_web_acl(self.element, resource["ARN"])
        if kind == "rest-stage":
            stage = f":{resource['restApiId']}:{resource['stageName']}"
            return self.of_its_web_acl(resource.get("webAclArn"), stage)
        if kind == "distribution":
            if source == "waf-log":
                return self.of_its_web_acl(resource.get("WebACLId"), resource["Id"])
            return places.of_distribution(self.element, resource)
        if source == "waf-log":
            arn = resource["LoadBalancerArn"]
            return self.of_its_web_acl(self.web_acl_of(arn), arn.partition("loadbalancer/")[2])
        return places.of_load_balancer(self.element, resource)

    def of_its_web_acl(self, arn: str | None, source: str) -> Place:
        """The log of the web ACL that protects a resource, as far as it concerns that resource."""
        if not arn:
            raise NoLogsError("NoWebAcl", "no web ACL protects it, whose log could be read")
        return places.of_web_acl(self.element, arn, source)

    def web_acl_of(self, arn: str) -> str | None:
        """The web ACL of a regional resource."""
        client = calls.client(self.element, "wafv2")
        found: Mapping[str, str] = read(client.get_web_acl_for_resource, ResourceArn=arn).get(
            "WebACL", {}
        )
        return found.get("ARN")

    def write_traffic(self) -> None:
        """Write ``traffic.json``: what :meth:`Analysis.traffic` has of each resource.

        Of a policy with several such filters, the file has what each of them looked at.
        """
        ctx = self.element.manager.ctx
        run = [*_traffic.get(ctx, {}).get(ctx.execution_id, ()), *self.traffic]
        _traffic[ctx] = {ctx.execution_id: run}
        if ctx.output is not None:
            ctx.output.write_file(TRAFFIC, dumps(run, indent=2))


def has_parquet(files: list[LogFile]) -> bool:
    return any(file.name.endswith(SUFFIX) for file in files)
