"""Which element made which AWS call, and whether its ``permissions`` say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from c7n_secops.element import SecOpsElement

SPECIAL = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
}
"""Operations whose IAM action has another name (Service Authorization Reference)."""

BY_METHOD = frozenset({"apigateway"})
"""Services whose IAM actions are the methods of HTTP."""

WITHOUT_PERMISSION = frozenset({"sts:GetCallerIdentity"})


class Call(NamedTuple):
    """One AWS call: the policy's element that was running, and the IAM action that it takes."""

    element: SecOpsElement | None
    action: str


class Observer:
    """Watches one policy run; give :meth:`policy` and :meth:`session` to ``run_policy``."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._running: list[SecOpsElement] = []
        self._managed: set[str] = set()

    def policy(self, policy: Any) -> None:
        """Watch when each element of ours processes resources."""
        self._managed = set(policy.resource_manager.get_permissions())
        for element in (*policy.resource_manager.iter_filters(), *policy.resource_manager.actions):
            if isinstance(element, SecOpsElement):
                element.process = self._watched(element)

    def session(self, session: Any) -> None:
        """Watch the calls of every client that this session makes."""
        session.events.register("before-call.*.*", self._called, unique_id="c7n-secops-observer")

    def undeclared(self) -> set[tuple[str, str]]:
        """The (element, IAM action) pairs whose element does not list it in ``permissions``.

        What Custodian itself may do to read the policy's resource type counts as listed.
        """
        return {
            (call.element.label, call.action)
            for call in self.calls
            if call.element is not None
            and call.action not in WITHOUT_PERMISSION
            and call.action not in self._managed
            and call.action not in call.element.get_permissions()
        }

    def _watched(self, element: SecOpsElement) -> Callable[..., Any]:
        process = element.process

        def watched(*arguments: Any, **named: Any) -> Any:
            self._running.append(element)
            try:
                return process(*arguments, **named)
            finally:
                self._running.pop()

        return watched

    def _called(self, model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        name = f"{service}:{model.http['method'] if service in BY_METHOD else model.name}"
        element = self._running[-1] if self._running else None
        self.calls.append(Call(element, SPECIAL.get(name, name)))
