"""What became of one policy in one account and region, and why it was not evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from c7n_secops.aws.calls import FAILURES, THROTTLES, UNANSWERED, failure
from c7n_secops_tools.fleet.sessions import WrongAccountError

OWN = "own permission"
RESOURCE = "resource policy"
ABSENT = "service absent in the region"
THROTTLED = "throttled"
UNREACHABLE = "unreachable"
ROLE = "role not assumed"
WRONG_ACCOUNT = "wrong account"
WORKER = "worker died"
NOT_STARTED = "not started"
ERROR = "error"
OTHER = "other"

RAN, DRY_RUN, DEPLOYED, SKIPPED = "ran", "dry run", "deployed", "skipped"
INCOMPLETE, FAILED, LOST, NOT_RUN = "incomplete", "failed", "lost", "not run"
FINISHED = frozenset({RAN, DRY_RUN, DEPLOYED, SKIPPED, ABSENT})
"""States that ``--resume`` does not run again."""
OURS_TO_MEND = frozenset({OWN, THROTTLED, UNREACHABLE})
"""Where some resources were refused for these, the policy is to run again."""

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "ForbiddenException",
        "UnauthorizedOperation",
        "UnauthorizedException",
    }
)
NOT_OFFERED = frozenset({"InvalidAction", "OptInRequired", "SubscriptionRequiredException"})
"""The region, or the account in it, does not have the service."""
NO_ANSWER = frozenset(
    {
        "AuthFailure",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "InvalidClientTokenId",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "UnrecognizedClientException",
    }
)
"""The region is not enabled in the account, or does not work."""
RESOURCE_WORDS = ("resource-based policy", "resource policy", "bucket policy", "key policy")
CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
REASON_LENGTH = 500


class Unit(NamedTuple):
    """One policy in one account and region; the account is named as in the accounts file."""

    account: str
    region: str
    policy: str


@dataclass(frozen=True)
class Why:
    """Why something was not evaluated; ``resources`` is how many, None for all of them."""

    why: str
    code: str
    reason: str
    resources: int | None = None


@dataclass
class Outcome:
    """What became of a unit. None is what is not known: it is never written as 0.

    ``acted`` and ``failed`` count what the actions say of each resource. ``severity`` is the
    gravest that matched: of the policy's metadata, or of the findings on its resources.
    """

    account: str
    account_id: str
    region: str
    policy: str
    resource: str
    state: str
    matched: int | None = None
    acted: int | None = None
    failed: int | None = None
    not_evaluated: list[Why] = field(default_factory=list)
    severity: str = ""
    seconds: float | None = None
    digest: str = ""

    @property
    def unit(self) -> Unit:
        """Which unit it is of."""
        return Unit(self.account, self.region, self.policy)

    @property
    def finished(self) -> bool:
        """Whether there is nothing to run again."""
        return self.state in FINISHED

    @property
    def well(self) -> bool:
        """Whether it finished, and no action failed on a resource."""
        return self.finished and not self.failed

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """The outcome that :meth:`as_json` wrote."""
        reasons = [Why(**why) for why in data["not_evaluated"]]
        return cls(**{**data, "not_evaluated": reasons})


def of_error(error: BaseException, absent: bool) -> Why:
    """Why an exception ended a policy; ``absent`` as :meth:`.sessions.Sessions.absent` says."""
    if isinstance(error, FAILURES):
        code, reason = failure(error)
        why = of_code(code, reason, absent)
        return Why(ERROR if why == OTHER else why, code, reason[:REASON_LENGTH])
    kind = type(error).__name__
    if isinstance(error, WrongAccountError):
        return Why(WRONG_ACCOUNT, kind, str(error))
    if isinstance(error, CREDENTIALS):
        return Why(ROLE, kind, str(error))
    return Why(ERROR, kind, str(error)[:REASON_LENGTH])


def of_session(error: Exception) -> Why:
    """Why there is no session of an account."""
    why = of_error(error, absent=False)
    if why.why in (OWN, RESOURCE, ERROR) and isinstance(error, ClientError | BotoCoreError):
        return Why(ROLE, why.code, why.reason)
    return why


def of_code(code: str, reason: str, absent: bool) -> str:
    """Why AWS refused a call, by the code and the text of its answer."""
    if code in THROTTLES:
        return THROTTLED
    if code in DENIED:
        named = any(words in reason for words in RESOURCE_WORDS)
        return RESOURCE if named else OWN
    if code in NOT_OFFERED:
        return ABSENT
    if code in NO_ANSWER:
        return UNREACHABLE
    if code in set(_names(UNANSWERED)):
        return ABSENT if absent else UNREACHABLE
    return OTHER


def _names(classes: tuple[type, ...]) -> Iterator[str]:
    """The names of exception classes and of all that derive from them."""
    for each in classes:
        yield each.__name__
        yield from _names(tuple(each.__subclasses__()))
