"""Clients with retries, pages, and the refusals that make a resource "not evaluated"."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import exceptions
from botocore.config import Config
from c7n.utils import local_session

THROTTLES = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
    }
)
REFUSALS = THROTTLES | {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "AuthorizationError",
    "OptInRequired",
    "SubscriptionRequiredException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InternalServerException",
    "InternalServerError",
    "InternalError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
}


class RefusedError(Exception):
    """AWS did not answer a read: denied, throttled to the end of the retries, or out of reach.

    ``code`` is AWS's error code, or the name of botocore's exception where no answer came.
    """

    def __init__(self, operation: str, code: str, message: str):
        super().__init__(f"{operation}: {code}: {message}")
        self.operation, self.code = operation, code

    @property
    def denied(self) -> bool:
        """Whether it is the caller's permissions, not the load or the network."""
        return self.code not in THROTTLES and ("Denied" in self.code or "Unauth" in self.code)


UNANSWERED = (exceptions.ConnectionError, exceptions.HTTPClientError)
"""No answer came: AWS may have done it, or not."""

FAILURES = (exceptions.ClientError, *UNANSWERED, RefusedError)
"""What a call of AWS can fail with, a read or a change."""


def client(
    element: Any,
    service: str,
    *,
    retry: bool = True,
    region: str | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Any:
    """A client for the account and region of the element's policy.

    ``retry=False`` sends each request once: for a call that must not be repeated blindly.
    ``region`` and ``credentials`` (as :func:`role_credentials` gives them) reach elsewhere.
    AWS_RETRY_MODE and AWS_MAX_ATTEMPTS, where they are set, win over our defaults.
    """
    if not retry:
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
    elif {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"} & os.environ.keys():
        config = Config()
    else:
        config = Config(retries={"mode": "adaptive", "total_max_attempts": 8})
    return local_session(element.manager.session_factory).client(
        service, region_name=region, config=config, **(credentials or {})
    )


def role_credentials(element: Any, role_arn: str, session_name: str) -> dict[str, str]:
    """The credentials of a role, for :func:`client`; they last an hour. Raises RefusedError."""
    sts = client(element, "sts")
    answer = read(sts.assume_role, RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
    return {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }


def failure(error: Exception) -> tuple[str, str]:
    """The code and the message of one of :data:`FAILURES`."""
    if isinstance(error, exceptions.ClientError):
        return error.response["Error"]["Code"], str(error)
    if isinstance(error, RefusedError):
        return error.code, str(error)
    return type(error).__name__, str(error)


@contextmanager
def refusals(operation: str) -> Iterator[None]:
    """Turn what AWS refuses inside into :class:`RefusedError`; bad requests stay errors."""
    try:
        yield
    except exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code in REFUSALS:
            raise RefusedError(
                operation, code, error.response["Error"].get("Message", "")
            ) from error
        raise
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise RefusedError(operation, type(error).__name__, str(error)) from error


def pages(
    client: Any, operation: str, key: str, page_size: int | None, **params: Any
) -> Iterator[list[dict[str, Any]]]:
    """Yield the lists under ``key``, a page each, at the API's largest ``page_size`` if it has one.

    Raises :class:`RefusedError` where AWS stops answering; the pages before it were yielded.
    """
    name = (
        f"{client.meta.service_model.service_name}:{client.meta.method_to_api_mapping[operation]}"
    )
    paginator = client.get_paginator(operation)
    answers = iter(paginator.paginate(**params, PaginationConfig={"PageSize": page_size}))
    while True:
        with refusals(name):
            answer = next(answers, None)
        if answer is None:
            return
        yield answer.get(key, [])


def read(call: Callable[..., dict[str, Any]], **params: Any) -> dict[str, Any]:
    """One read, with refusals turned into :class:`RefusedError`."""
    with refusals(getattr(call, "__name__", "read")):
        return call(**params)
