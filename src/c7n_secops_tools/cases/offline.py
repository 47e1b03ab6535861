"""A process without AWS: sessions whose calls a case answers, its clock, and no network at all."""

from __future__ import annotations

import copy
import io
import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock, RLock
from typing import Any
from unittest.mock import patch
from urllib.error import HTTPError

import boto3
import time_machine
from botocore.loaders import create_loader
from c7n.provider import clouds
from c7n.resources.aws import AWS

from c7n_secops_tools.cases.answers import Answers, Call, UnansweredError

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "case",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
NETWORK = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.sendto",
        "socket.sendmsg",
    }
)
SHORTEST_SLEEP = 0.001
PARAMS = "c7n_secops_case_params"

_models = create_loader()


class OfflineError(Exception):
    """Something tried to reach the network while cases run."""


class Session(boto3.Session):
    """A session whose clients are made once, and whose calls the current case answers."""

    def __init__(self, region: str, answer: Callable[[Call, Any], Any]):
        super().__init__(
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
        )
        self._session.register_component("data_loader", _models)
        self._answer = answer
        self._clients: dict[Any, Any] = {}
        self._lock = RLock()
        self.events.register_first("before-parameter-build.*.*", self._remember)
        self.events.register_first("before-call.*.*", self._answered)

    def client(self, service_name: str, region_name: str | None = None, **settings: Any) -> Any:  # type: ignore[override]
        """The client of this service, region and credentials; retries never happen here."""
        settings.pop("config", None)
        key = (service_name, region_name, *sorted(settings.items()))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = super().client(
                    service_name,  # type: ignore[call-overload]
                    region_name=region_name,
                    **settings,
                )
            return self._clients[key]

    def _remember(self, params: Any, context: Any, **_: Any) -> None:
        context[PARAMS] = copy.deepcopy(params)

    def _answered(self, model: Any, context: Any, **_: Any) -> Any:
        name = f"{model.service_model.service_name}:{model.name}"
        region = context.get("client_region") or str(self.region_name)
        return self._answer(Call(name, context.get(PARAMS, {}), region), model)


class Sessions:
    """Custodian's session factory in a case: the same session for a region in every case."""

    _kept: dict[str, Session] = {}
    _lock = Lock()
    _answers: Answers | None = None

    def __init__(self, region: str):
        self.region = region

    def __call__(self, assume: bool = True, region: str | None = None) -> Session:
        name = region or self.region or os.environ["AWS_DEFAULT_REGION"]
        with self._lock:
            if name not in self._kept:
                self._kept[name] = Session(name, self._answer)
            return self._kept[name]

    @classmethod
    def _answer(cls, call: Call, model: Any) -> Any:
        if cls._answers is None:
            raise OfflineError(f"{call} was made when no case ran")
        return cls._answers.answer(call, model)

    @classmethod
    @contextmanager
    def answered_by(cls, answers: Answers) -> Iterator[None]:
        """Let these answers stand for AWS inside."""
        cls._answers = answers
        try:
            yield
        finally:
            cls._answers = None


@contextmanager
def offline(
    answers: Answers,
    *,
    now: str,
    region: str,
    environment: Mapping[str, str] | None = None,
    web: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Everything inside gets these answers, runs at this time, and reaches no network.

    ``web`` are the pages that there are, by URL: text, what is written as JSON, or the HTTP status
    of a refusal. ``names`` are the names that addresses have in DNS.
    """
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **ENVIRONMENT,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        **(environment or {}),
    }
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, variables, clear=True))
        stack.enter_context(Sessions.answered_by(answers))
        stack.enter_context(provider_with(lambda options: Sessions(options.region)))
        stack.enter_context(clock(now))
        stack.enter_context(internet(answers, web or {}, names or {}))
        stack.enter_context(_network.refused())
        yield


@contextmanager
def clock(now: str) -> Iterator[None]:
    """Time stands still at ``now``; a sleep takes no time, and moves it."""
    with ExitStack() as stack:
        traveller = stack.enter_context(time_machine.travel(now, tick=False))
        lock = Lock()

        def sleep(seconds: float) -> None:
            with lock:
                traveller.shift(max(seconds, SHORTEST_SLEEP))

        stack.enter_context(patch.object(time, "sleep", sleep))
        stack.enter_context(patch.object(time, "monotonic", lambda: time.time()))
        yield


@contextmanager
def internet(answers: Answers, web: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[None]:
    """These are the pages of the web, and the names in DNS; no address has another name."""
    from c7n_secops_edge import protected  # what it read of the web is kept for a process

    def urlopen(url: Any, *_: Any, **__: Any) -> Any:
        place = url if isinstance(url, str) else url.full_url
        if place not in web:
            answers.unanswered.append(f"no page under web for {place}")
            raise UnansweredError(answers.unanswered[-1])
        page = web[place]
        if isinstance(page, int):
            raise HTTPError(place, page, "refused by the case", {}, None)  # type: ignore[arg-type]
        return Page(place, page if isinstance(page, str) else json.dumps(page))

    def gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
        if address not in names:
            raise socket.herror(1, "Unknown host")
        return names[address], [], [address]

    asked = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> list[Any]:
        found = [address for address, name in names.items() if name == host]
        if not found:
            return asked(host, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    with ExitStack() as stack:
        for module, name, stand_in in (
            (urllib.request, "urlopen", urlopen),
            (socket, "gethostbyaddr", gethostbyaddr),
            (socket, "getaddrinfo", getaddrinfo),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        stack.enter_context(patch.dict(protected._fetched, clear=True))  # noqa: SLF001
        yield


class Page(io.BytesIO):
    """A page as urlopen returns it."""

    def __init__(self, url: str, text: str):
        super().__init__(text.encode())
        self.url = url


@contextmanager
def provider_with(factory: Callable[[Any], Any]) -> Iterator[None]:
    """Let Custodian's Lambda handler get its session factory from here: it takes none."""

    class Provided(AWS):
        def get_session_factory(self, options: Any) -> Any:
            return factory(options)

    stock = clouds["aws"]
    clouds.register("aws", Provided)
    try:
        yield
    finally:
        clouds.register("aws", stock)


class _Network:
    """Refuses every connection of this process, while cases run."""

    def __init__(self) -> None:
        self._closed = False
        self._watching = False

    @contextmanager
    def refused(self) -> Iterator[None]:
        if not self._watching:
            sys.addaudithook(self._audit)  # the interpreter keeps a hook for good
            self._watching = True
        self._closed = True
        try:
            yield
        finally:
            self._closed = False

    def _audit(self, event: str, arguments: Any) -> None:
        if self._closed and event in NETWORK:
            raise OfflineError(f"a case has no network: {event} {arguments[1:]!r}")


_network = _Network()
