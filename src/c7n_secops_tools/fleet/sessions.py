"""The AWS sessions of one account and region.

botocore parses its service models again for every session that it makes, and registers more than
a hundred handlers, and makes a class with a method for every operation for every client: that is
most of what a sweep costs. Here all sessions of a process share one loader, which parses each model
once, copies of the handlers, and a client class for each service. A class depends on nothing but
its service's model; what belongs to an account stands in the client.
"""

from __future__ import annotations

import copy
import threading
from functools import cache
from typing import Any, ClassVar

import boto3
import botocore.client
import botocore.session
from botocore.credentials import RefreshableCredentials
from botocore.hooks import HierarchicalEmitter
from c7n.credentials import SessionFactory, get_sts_client
from c7n.utils import get_partition, get_retry

from c7n_secops_tools.fleet.accounts import Account

THROTTLED = ("Throttling",)
"""What Custodian itself tries again as it assumes a role."""


class WrongAccountError(Exception):
    """The credentials are of another account than the accounts file says."""


@cache
def models() -> Any:
    """The loader of service models, one a process."""
    return boto3.Session()._session.get_component("data_loader")


@cache
def handlers() -> HierarchicalEmitter:
    """The handlers that botocore gives every session."""
    emitter = HierarchicalEmitter()
    botocore.session.Session(event_hooks=emitter)
    return emitter


class Creator(botocore.client.ClientCreator):
    """Makes clients as botocore does, with a model and a class that are made once a service."""

    models: ClassVar[dict[tuple[str, str | None], Any]] = {}
    classes: ClassVar[dict[Any, type]] = {}

    def _load_service_model(self, service_name: str, api_version: str | None = None) -> Any:
        key = service_name, api_version
        if key not in self.models:
            self.models[key] = super()._load_service_model(service_name, api_version)  # type: ignore[misc]
        return self.models[key]

    def _create_client_class(self, service_name: str, service_model: Any) -> type:
        if service_model not in self.classes:
            made = super()._create_client_class(service_name, service_model)  # type: ignore[misc]
            self.classes[service_model] = made
        return self.classes[service_model]


# no session takes a creator of its own, so this is for all of the process
botocore.client.ClientCreator = Creator  # type: ignore[misc]


class Session(boto3.Session):
    """Keeps its clients: Custodian asks for the same one many times.

    :meth:`forget` drops them, since a client carries what was set on the session as it was made:
    Custodian's count of calls and the policy's name in the user agent.
    """

    def __init__(self, **options: Any) -> None:
        own = botocore.session.Session(
            event_hooks=copy.copy(handlers()), include_builtin_handlers=False
        )
        super().__init__(botocore_session=own, **options)
        own.register_component("data_loader", models())
        self._lock = threading.Lock()
        self._clients: dict[Any, Any] = {}

    def client(self, service_name: str, region_name: str | None = None, **options: Any) -> Any:  # type: ignore[override]
        """A client; the same one where the same is asked for, and no more than texts can say."""
        make: Any = super().client
        said = {name: value for name, value in options.items() if value is not None}
        if not all(isinstance(value, str) for value in said.values()):
            return make(service_name, region_name, **said)
        key = service_name, region_name, tuple(sorted(said.items()))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = make(service_name, region_name, **said)
            return self._clients[key]

    def forget(self) -> None:
        """Make new clients from now on."""
        with self._lock:
            self._clients.clear()


@cache
def ambient(profile: str | None) -> Session:
    """The session of the process's own credentials, which assumes the accounts' roles."""
    return Session(profile_name=profile)


class Sessions(SessionFactory):
    """Custodian's session factory for one account and region.

    ``unanswered`` has the services whose calls got no answer since it was last cleared.
    """

    def __init__(self, account: Account, region: str):
        roles = account.get("role") or ()
        self.roles = [roles] if isinstance(roles, str) else list(roles)
        super().__init__(
            region,
            profile=None if self.roles else account.get("profile"),
            assume_role=self.roles[-1] if self.roles else None,
            external_id=account.get("external_id"),
        )
        self.unanswered: set[str] = set()
        self._services: dict[str, str] = {}

    def __call__(self, assume: bool = True, region: str | None = None) -> Any:
        """A session of the account; without ``assume`` one of the process's own credentials."""
        where = region or self.region
        if not (self.roles and assume):
            return self.update(Session(profile_name=self.profile, region_name=where))
        session: Session = ambient(None)
        for role in self.roles:
            session = self._assume(role, session, where)
        return self.update(session)

    def _assume(self, role: str, session: Session, region: str) -> Session:
        """As Custodian's ``assumed_session``, which makes two botocore sessions more."""
        asked = {"RoleArn": role, "RoleSessionName": self.session_name}
        if self.external_id:
            asked["ExternalId"] = self.external_id
        retry = get_retry(THROTTLED)

        def refresh() -> dict[str, str]:
            assume = get_sts_client(session, region).assume_role
            given = retry(assume, **asked)["Credentials"]
            return {
                "access_key": given["AccessKeyId"],
                "secret_key": given["SecretAccessKey"],
                "token": given["SessionToken"],
                "expiry_time": given["Expiration"].isoformat(),
            }

        assumed = Session(region_name=region)
        own: Any = assumed._session
        own._credentials = RefreshableCredentials.create_from_metadata(
            metadata=refresh(), refresh_using=refresh, method="sts-assume-role"
        )
        return assumed

    def update(self, session: Session) -> Session:
        """Mark a session as Custodian does, before each policy, and watch its calls."""
        session.forget()
        session.events.register("before-call.*.*", self._called, unique_id="c7n-secops-call")
        session.events.register(
            "after-call-error.*.*", self._failed, unique_id="c7n-secops-unanswered"
        )
        super().update(session)
        return session

    def _called(self, model: Any, event_name: str, **_: Any) -> None:
        self._services[event_name.partition(".")[2]] = model.service_model.service_name

    def _failed(self, event_name: str, **_: Any) -> None:
        self.unanswered.add(self._services[event_name.partition(".")[2]])

    def absent(self) -> bool:
        """Whether every service that did not answer is one that the region does not have.

        Where the services are is what botocore's own list of endpoints says.
        """
        return bool(self.unanswered) and not any(
            self._offered(service) for service in self.unanswered
        )

    def _offered(self, service: str) -> bool:
        partition = get_partition(self.region)
        regions = ambient(None).get_available_regions(service, partition)
        return not regions or self.region in regions


def check_account(session: Any, account: Account) -> None:
    """Raises WrongAccountError unless the session is of the account."""
    found = session.client("sts").get_caller_identity()["Account"]
    if found != account["account_id"]:
        raise WrongAccountError(
            f"the credentials for account {account['name']} are of {found}, not of "
            f"{account['account_id']}: set account_id or role in the accounts file"
        )


def environment(session: Any, account: Account, region: str) -> dict[str, str]:
    """What c7n-org puts into the environment where a role is assumed through others."""
    credentials = session.get_credentials().get_frozen_credentials()
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCOUNT_ID": account["account_id"],
    }
