"""SSH: who logged on to an instance from where nobody should?"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import flood_schema, ssh
from c7n_secops_edge.logs import groups
from c7n_secops_edge.logs.places import NoLogsError

RESOURCES = ("aws.ec2",)
INSTANCE = re.compile(r"i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9a-f])")


class SshLogon(SecOpsElement, Filter):
    """Finds instances that somebody logged on to by SSH, from an address outside ``allowed``.

    A logon that succeeded from elsewhere than a jump host or the office is a stolen key, or a way
    in that nobody meant to leave open. Reads what sshd writes to the authentication log
    (/var/log/secure, auth.log), which the CloudWatch agent sends to ``log-group``, into a stream
    whose name begins with the instance's id, as the agent names it unless told otherwise; syslog's
    two forms of time are known. At least ``min-logons`` (1) within ``lookback`` minutes (60)
    match. Each group is read once for all instances.

    Lines are believed only where sshd begins them: what clients send to other programs, or as a
    user's name, is not.

    Annotates ``c7n:SshLogons`` with address, user, method, count, firstSeen and lastSeen (UTC), the
    last first, at most 50. An instance is recorded as not evaluated where the group cannot be
    read or does not exist, where no stream of the instance was written to within a day, and,
    unless it matched, where it is not clear of a line who logged on from where.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-ssh-logon-from-outside
            resource: aws.ec2
            filters:
              - type: ssh-logon
                log-group: /var/log/secure
                allowed: [10.0.0.0/8, 203.0.113.0/24]
    """

    schema = type_schema(
        "ssh-logon",
        required=["log-group", "allowed"],
        **{
            "log-group": {"type": "string", "pattern": "^[A-Za-z0-9._/#-]{1,512}$"},
            "allowed": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]{2,39}/[0-9]{1,3}$"},
            },
            "lookback": {"type": "integer", "minimum": 1, "maximum": 1440},
            "min-logons": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        },
    )
    permissions = ("logs:DescribeLogStreams", "logs:FilterLogEvents")
    annotation_key = "c7n:SshLogons"
    annotations = {annotation_key: "who logged on from outside, from where, how often and when"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("a policy that takes no action on what it finds")
        for network in self.data["allowed"]:
            if reason := flood_schema.unusable(ipaddress.ip_network, network):
                raise self.invalid(f"allowed: {reason}; give a network such as 192.0.2.0/24")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        try:
            streams, logons = self.read({each["InstanceId"] for each in resources})
        except (RefusedError, NoLogsError) as error:
            self.not_evaluated(resources, error.code, str(error))
            return []
        matched = []
        for instance in resources:
            name = instance["InstanceId"]
            said = logons[name]
            if said.total >= self.data.get("min-logons", 1):
                instance[self.annotation_key] = said.shown
                matched.append(instance)
            elif name not in streams:
                reason = f"no stream {name} of {self.data['log-group']} was written to for a day"
                self.not_evaluated([instance], "NoStream", reason)
            elif said.unclear:
                reason = f"of {said.unclear} logons it is not clear who came from where"
                self.not_evaluated([instance], "BadLines", reason)
        return matched

    def read(self, names: set[str]) -> tuple[set[str], dict[str, ssh.Logons]]:
        """The instances that have a stream, and the logons of each. Raises RefusedError."""
        client, group = calls.client(self, "logs"), self.data["log-group"]
        until = datetime.now(timezone.utc)
        since = until - timedelta(minutes=self.data.get("lookback", 60))
        named = (
            (stream, INSTANCE.match(stream)) for stream in groups.live_streams(client, group, until)
        )
        streams = {stream: match[0] for stream, match in named if match and match[0] in names}
        allowed = ssh.networks(self.data["allowed"])
        logons: defaultdict[str, ssh.Logons] = defaultdict(lambda: ssh.Logons(allowed))
        for event in groups.events(client, group, streams, since, until, ssh.PATTERN):
            logons[streams[event["logStreamName"]]].add(event["message"], event["timestamp"])
        return set(streams.values()), logons
