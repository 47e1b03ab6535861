"""Who calls: access keys, sessions and assumed roles.

moto lets an unknown access key act on account 123456789012, so that a wrong or expired credential
silently works; here it is refused.  ``AKIABOOT`` followed by an account id is the key of that
account's bootstrap administrator, for any account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from moto.sts.responses import TokenResponse

from tests.emulator.clock import now
from tests.emulator.kit import fail
from tests.emulator.wire import Answer, Asked, error_answer

BOOTSTRAP = "AKIABOOT"
BOOTSTRAP_SECRET = "bootstrap-administrator"  # signatures are not checked
ADMIN_NAME = "bootstrap-administrator"
MACHINES_KEY, MACHINES = "ak", "123456789012"
"""With what moto's state machines call AWS, whatever their role, and the account that it is in."""


@dataclass(frozen=True)
class Caller:
    """An authenticated principal."""

    account: str
    arn: str
    kind: str  # bootstrap, user or role
    session: Any = None

    @property
    def is_bootstrap(self) -> bool:
        return self.kind == "bootstrap"


def bootstrap_key(account: str) -> str:
    return f"{BOOTSTRAP}{account}"


def admin_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:user/{ADMIN_NAME}"


class Keys:
    """Finds the owner of an access key; remembers where it was found."""

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.sessions: dict[str, AssumedRole] = {}

    def clear(self) -> None:
        self.accounts.clear()
        self.sessions.clear()

    def account_of(self, key: str) -> str | None:
        known = self.accounts.get(key)
        if known and key in iam_backends[known]["aws"].access_keys:
            return known
        for account, partitions in list(iam_backends.items()):
            # moto's own `in` says yes to a region that does not exist yet
            if "aws" in partitions.keys() and key in partitions["aws"].access_keys:  # noqa: SIM118
                self.accounts[key] = account
                return account
        return None

    def session_of(self, key: str, account: str) -> AssumedRole | None:
        if key not in self.sessions:
            found = sts_backends[account]["aws"].get_assumed_role_from_access_key(key)
            if not found:
                return None
            self.sessions[key] = found
        return self.sessions[key]


KEYS = Keys()


def identify(asked: Asked) -> Caller | Answer | None:
    """Names the caller; None for an unsigned request, an answer for a refused one."""
    if not asked.signed:
        return None
    key = asked.access_key
    if key.startswith(BOOTSTRAP) and key[len(BOOTSTRAP) :].isdigit() and len(key) == 20:
        account = key[len(BOOTSTRAP) :]
        return Caller(account, admin_arn(account), "bootstrap")
    if key == MACHINES_KEY:
        asked.account = MACHINES
        return Caller(MACHINES, admin_arn(MACHINES), "bootstrap")
    found = KEYS.account_of(key)
    if not found:
        return refuse_key(asked)
    asked.account = found
    session = KEYS.session_of(key, found)
    if session:
        token = asked.environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        if token is not None and token != session.session_token:
            return refuse_key(asked)
        if session.expiration.timestamp() < now().timestamp():
            return error_answer(
                asked, "ExpiredTokenException", "The security token included is expired", 403
            )
        return Caller(found, session.arn, "role", session)
    user = iam_backends[found]["aws"].get_user_from_access_key_id(key)
    if not user:
        return refuse_key(asked)
    return Caller(found, user.arn, "user")


def refuse_key(asked: Asked) -> Answer:
    if asked.service == "s3":
        return error_answer(
            asked,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            403,
        )
    if asked.protocol == "ec2":
        return error_answer(
            asked,
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            401,
        )
    code = "InvalidClientTokenId" if asked.protocol == "query" else "UnrecognizedClientException"
    return error_answer(asked, code, "The security token included in the request is invalid.", 403)


# --- AWS STS, where moto differs ----------------------------------------------------------------

moto_get_caller_identity = STSBackend.get_caller_identity
moto_assume_role = TokenResponse.assume_role


def get_caller_identity(self: STSBackend, access_key_id: str, region: str) -> tuple[str, str, str]:
    if access_key_id.startswith(BOOTSTRAP):
        return "AIDABOOTSTRAPADMIN", admin_arn(self.account_id), self.account_id
    return moto_get_caller_identity(self, access_key_id, region)


def assume_role(self: TokenResponse) -> ActionResult:
    """Refuses a role that does not exist, which moto hands out all the same."""
    arn = str(self._get_param("RoleArn"))
    if not find_role(arn):
        key = self.get_access_key()
        session = KEYS.session_of(key, self.current_account)
        user = iam_backends[self.current_account]["aws"].get_user_from_access_key_id(key)
        caller = session.arn if session else user.arn if user else admin_arn(self.current_account)
        fail(
            "AccessDenied",
            f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}",
        )
    return moto_assume_role(self)


def find_role(arn: str) -> Any:
    """Finds the IAM role with this ARN, in whichever account it is."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam":
        return None
    roles = iam_backends[parts[4]]["aws"].roles.values()
    return next((role for role in roles if role.arn == arn), None)


def install() -> None:
    STSBackend.get_caller_identity = get_caller_identity
    TokenResponse.assume_role = assume_role
