"""EC2: did two different principals agree?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.element import SecOpsElement
from c7n_secops_response import trail
from c7n_secops_response.trail import Setting

RESOURCES = ("aws.ec2",)

DEFAULT = "7d"
HISTORY = timedelta(days=90)
UNITS = {"h": "hours", "d": "days"}
TAG = {"type": "string", "minLength": 1, "maxLength": 128}


class TwoPersonApproval(SecOpsElement, Filter):
    """Finds instances of which one principal asked something by tag and another approved it.

    ``requested`` and ``approved`` are the keys of the two tags, ``c7n-secops:release-requested``
    and ``c7n-secops:release-approved`` unless set. Both must have the value of the tag ``case``
    (``c7n-secops:case``), so that an approval is of this case and of no other. Who set them, and
    in which order, is read from CloudTrail's event history, where it must be at most ``within``
    ago (``7d`` unless set; h or d, at most 90d).

    All sessions of a role are one principal, whatever they are called, except those of IAM
    Identity Center, which are named after the person. Sessions with the same source identity are
    one principal too. That proves two principals, not two people: somebody who can act as two
    principals can do both. Let IAM policies say who may set which tag (``aws:TagKeys``).

    An instance is not evaluated where CloudTrail refuses, where it has no record of a tag (it is
    minutes behind, and a tag that an instance was launched with has none), or where its latest
    record is not what the tag says. The filter is refused inside ``not``.

    Annotates ``c7n:TwoPersonApproval`` with ``Case``, ``Requested`` and ``Approved``; each of
    these has ``Principal``, ``Arn``, ``At`` (ISO 8601) and ``EventId``.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-release-approved
            resource: aws.ec2
            filters:
              - type: two-person-approval
                within: 2d
    """

    schema = type_schema(
        "two-person-approval",
        requested=TAG,
        approved=TAG,
        case=TAG,
        within={"type": "string", "pattern": "^[1-9][0-9]{0,3}[hd]$"},
    )
    permissions = ("cloudtrail:LookupEvents",)
    annotation_key = "c7n:TwoPersonApproval"
    annotations = {annotation_key: "the case, and who requested and who approved it, and when"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("the tags themselves for those that nobody approved")
        if self.within > HISTORY:
            raise self.invalid(
                f"within {self.data['within']} is longer than the 90 days of CloudTrail's event "
                "history; set at most 90d"
            )
        if self.requested == self.approved:
            raise self.invalid(f"requested and approved are both {self.approved}; use two tags")
        return self

    @property
    def within(self) -> timedelta:
        text = self.data.get("within", DEFAULT)
        return timedelta(**{UNITS[text[-1]]: int(text[:-1])})

    @property
    def requested(self) -> str:
        return str(self.data.get("requested", "c7n-secops:release-requested"))

    @property
    def approved(self) -> str:
        return str(self.data.get("approved", "c7n-secops:release-approved"))

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        return [resource for resource in resources if self._is_approved(resource)]

    def _is_approved(self, resource: dict[str, Any]) -> bool:
        tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
        case = tags.get(self.data.get("case", "c7n-secops:case"))
        said = {key: tags[key] for key in (self.requested, self.approved) if key in tags}
        if not said:
            return False
        if not case or said != {self.requested: case, self.approved: case}:
            return self._no(resource, f"the tags say {said} and the case is {case}")
        settings = self._settings_of(resource, case)
        return bool(settings) and self._agree(resource, case, *settings)

    def _settings_of(self, resource: dict[str, Any], case: str) -> list[Setting]:
        """Who requested and who approved, or [] where that cannot be known: it is recorded."""
        try:
            latest = self._latest(resource["InstanceId"])
        except RefusedError as refused:
            self.not_evaluated([resource], refused.code, str(refused))
            return []
        settings = [latest.get(self.requested), latest.get(self.approved)]
        for key, setting in zip((self.requested, self.approved), settings, strict=True):
            if setting is None:
                reason = f"CloudTrail has no record of {key} of the last {self.within}"
            elif setting.value != case:
                reason = f"CloudTrail's latest record of {key} is not what the tag says"
            elif setting.by is trail.NOBODY:
                reason = f"CloudTrail does not say who set {key} (event {setting.event_id})"
            else:
                continue
            self.not_evaluated([resource], "NotRecorded", f"{reason}; it can be 15 minutes behind")
            return []
        return [setting for setting in settings if setting]

    def _latest(self, instance_id: str) -> dict[str, Setting]:
        """The latest change of each of the two tags, as far back as it counts."""
        now = datetime.now(timezone.utc)
        client = calls.client(self, "cloudtrail")
        found: dict[str, Setting] = {}
        for key, setting in trail.changes_of_tags(client, instance_id, now - self.within, now):
            if key in (self.requested, self.approved):
                found.setdefault(key, setting)
            if len(found) == 2:
                break
        return found

    def _agree(
        self, resource: dict[str, Any], case: str, request: Setting, approval: Setting
    ) -> bool:
        if not approval.by.is_other_than(request.by):
            return self._no(resource, f"{approval.by.arn} requested and approved it")
        if approval.at < request.at:
            return self._no(resource, "the approval is older than the request")
        resource[self.annotation_key] = {
            "Case": case,
            "Requested": _evidence(request),
            "Approved": _evidence(approval),
        }
        return True

    def _no(self, resource: dict[str, Any], reason: str) -> bool:
        policy = self.manager.data.get("name", "unknown")
        name = resource["InstanceId"]
        self.log.warning("policy:%s %s %s not approved: %s", policy, self.label, name, reason)
        return False


def _evidence(setting: Setting) -> dict[str, Any]:
    return {
        "Principal": setting.by.name,
        "Arn": setting.by.arn,
        "At": setting.at.isoformat(),
        "EventId": setting.event_id,
    }
