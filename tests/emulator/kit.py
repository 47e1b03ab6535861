"""How an operation is added to moto without changing moto.

An operation is a function decorated with ``@operation(service, name)``.  botocore's service model
gives its route, parses its request and serialises its reply.  The request is checked against the
limits of the model (list lengths, enums, ranges) as AWS does, and the reply is checked against
the output shape, so that an extension cannot invent a field.

This package replaces private names of moto. They are listed here, and ``check_moto_version``
refuses to run with another version, in which they may have changed:

================  ================================================================================
module            what it replaces or reads
================  ================================================================================
``kit``           adds methods to ``moto.<service>.responses.*Response`` and routes to ``urls``
``ec2``           ``InstanceResponse.describe_instances``, ``run_instances``, ``reboot_instances``;
                  ``InstanceBackend.modify_instance_security_groups``;
                  ``NetworkInterface.group_set``;
                  ``NetworkInterfaceBackend.modify_network_interface_attribute``;
                  ``TaggedEC2Resource.get_tags``; ``EBSBackend.describe_snapshots``
``apigateway``    ``RestAPI`` and ``Deployment.create_from_cloudformation_json``; ministack's
                  ``_render_request_template_v1``
``config``        ``ConfigBackend.describe_config_rules``
``events``        ``EventBus.physical_resource_id``, ``Rule.send_to_targets``,
                  ``EventsHandler.put_events``
``flow_logs``     ``EC2Response.create_flow_logs``
``guardduty``     reads and fills ``GuardDutyBackend.detectors``
``iam``           reads users, roles and policies of ``iam_backends``
``iam_users``     ``IamResponse.list_users``, ``list_access_keys``, ``get_account_summary``,
                  ``list_virtual_mfa_devices``, ``get_credential_report``,
                  ``list_server_certificates``, ``attach_role_policy``; ``AWSManagedPolicy``
``identity``      ``STSBackend.get_caller_identity``, ``TokenResponse.assume_role``
``lambdas``       ``LambdaSimpleBackend.invoke``, ``LambdaResponse.invoke``
``network_acl``   ``NetworkAcl.get_filter_value``
``organizations`` ``FakeAccount``, ``organizations_backends.master_accounts``
``queues``        ``LambdaBackend.create_event_source_mapping``; reads event source mappings
``s3``            ``FakeBucket.create_from_cloudformation_json``, ``get_permission``;
                  ``S3Response.get_bucket_versioning``
``sns``           ``SNSBackend.subscribe``
``server``        ``DomainDispatcherApplication``, ``MotoRequestHandler``
``wafv2``         ``FakeIPSet``, ``FakeRule`` and ``FakeWebACL``, whose fields it sets
``wire``          moto's request routers and error serialisers
================  ================================================================================
"""

from __future__ import annotations

import base64
import binascii
import importlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores, get_service_model

from tests.emulator.shapes import find_reply_errors, find_request_error

MOTO_VERSION = "5.2.5"

RESPONSES = {
    "athena": ("moto.athena", "AthenaResponse"),
    "cloudfront": ("moto.cloudfront", "CloudFrontResponse"),
    "account": ("moto.account", "AccountResponse"),
    "cloudtrail": ("moto.cloudtrail", "CloudTrailResponse"),
    "ec2": ("moto.ec2", "EC2Response"),
    "events": ("moto.events", "EventsHandler"),
    "guardduty": ("moto.guardduty", "GuardDutyResponse"),
    "inspector2": ("moto.inspector2", "Inspector2Response"),
    "organizations": ("moto.organizations", "OrganizationsResponse"),
    "securityhub": ("moto.securityhub", "SecurityHubResponse"),
    "ssm": ("moto.ssm", "SimpleSystemManagerResponse"),
    "wafv2": ("moto.wafv2", "WAFV2Response"),
}

# What the service answers when a request breaks a limit of its model.
INVALID_REQUEST = {
    "guardduty": "BadRequestException",
    "securityhub": "InvalidInputException",
    "wafv2": "WAFInvalidParameterException",
}

T = TypeVar("T")
Handler = Callable[..., Any]


class Settings:
    """Switches of this server process."""

    validate_replies = True
    url = ""
    lambda_python = ""


def check_moto_version() -> None:
    """Refuses to start with a moto whose private names we do not know."""
    found = importlib.metadata.version("moto")
    if found != MOTO_VERSION:
        raise RuntimeError(
            f"the emulator replaces private names of moto {MOTO_VERSION}, but moto {found} is "
            f"installed: install moto[server,all]=={MOTO_VERSION}, or review every name listed in "
            "tests/emulator/kit.py and change MOTO_VERSION"
        )


class ServiceError(ServiceException):
    """An error that AWS would answer."""


# moto looks the error shape up in the service named by the exception's module when that module
# starts with ``moto``; any other name falls back to the service that was called.
ServiceError.__module__ = "emulator"


def fail(code: str, message: str) -> NoReturn:
    """Answers the running request with an AWS error."""
    raise ServiceError(code, message)


def backend(service: str, account: str, region: str) -> Any:
    """Returns moto's backend, the home of all state."""
    return get_backend(service)[account][region]


def state(
    service: str,
    account: str,
    region: str,
    key: str,
    factory: Callable[[], Any] = dict,
) -> Any:
    """Returns a named piece of extension state; a reset of moto clears it."""
    home = backend(service, account, region).__dict__
    name = f"emulator_{key}"
    if name not in home:
        home.setdefault(name, factory())
    return home[name]


class Context:
    """Who calls, and where; with the state of any account, as cross-account semantics need."""

    def __init__(self, service: str, account: str, region: str) -> None:
        self.service = service
        self.account = account
        self.region = region

    def backend(self, service: str = "", account: str = "", region: str = "") -> Any:
        return backend(service or self.service, account or self.account, region or self.region)

    def state(
        self,
        key: str,
        factory: Callable[[], Any] = dict,
        *,
        service: str = "",
        account: str = "",
        region: str = "",
    ) -> Any:
        return state(
            service or self.service,
            account or self.account,
            region or self.region,
            key,
            factory,
        )


class RawReply:
    """A reply that is already JSON text, for answers too large to serialise each time."""

    def __init__(self, body: str) -> None:
        self.body = body


def response_class(service: str) -> Any:
    """Returns moto's response class of a service."""
    package, name = RESPONSES[service]
    return getattr(importlib.import_module(f"{package}.responses"), name)


def operation(service: str, name: str) -> Callable[[Handler], Handler]:
    """Adds or replace one operation of a service.

    The function gets a ``Context`` and the request's parameters by name; it returns the reply as
    a dict, or a ``RawReply``.  A name that the service model lacks raises at import.
    """
    cls = response_class(service)
    model = get_service_model(service).operation_model(name)
    invalid = INVALID_REQUEST.get(service, "ValidationException")

    def decorate(handler: Handler) -> Handler:
        def method(response: Any) -> Any:
            response.parse_parameters(response.normalized_request)
            params = {k: v for k, v in response.params.items() if v is not None}
            if service != "ec2" and model.input_shape is not None:
                problem = find_request_error(model.input_shape, params)
                if problem:
                    fail(invalid, f"1 validation error detected: {problem}")
            context = Context(service, response.current_account, response.region)
            reply = handler(context, **params)
            if isinstance(reply, RawReply):
                return reply.body
            reply = reply or {}
            if Settings.validate_replies and model.output_shape is not None:
                problems = find_reply_errors(model.output_shape, reply)
                if problems:
                    raise AssertionError(f"{service}:{name} reply: {'; '.join(problems)}")
            return ActionResult(reply)

        method.__name__ = camelcase_to_underscores(name)
        setattr(cls, method.__name__, method)
        add_route(service, model.http.get("requestUri", "/"), cls)
        return handler

    return decorate


def add_route(service: str, request_uri: str, cls: Any) -> None:
    """Makes moto's Flask application serve the path of a REST operation."""
    path = request_uri.split("?")[0]
    if path in ("/", ""):
        return
    pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    package, _ = RESPONSES[service]
    urls = importlib.import_module(f"{package}.urls").url_paths
    urls.setdefault("{0}" + pattern + "$", cls.dispatch)


def page(
    items: Sequence[T],
    token: str | None,
    size: int,
    query: str = "",
    code: str = "ValidationException",
) -> tuple[Sequence[T], str | None]:
    """Returns one page and the token of the next one.

    A token belongs to one query: used with other parameters it is refused, as on AWS.
    """
    start = 0
    mark = f"{binascii.crc32(query.encode()):08x}"
    if token:
        try:
            made_for, offset = base64.urlsafe_b64decode(token.encode()).decode().split(":")
            start = int(offset)
        except (ValueError, binascii.Error):
            fail(code, "The specified token is not valid.")
        if made_for != mark:
            fail(code, "The specified token was made for another request.")
    end = start + size
    following = None
    if end < len(items):
        following = base64.urlsafe_b64encode(f"{mark}:{end}".encode()).decode()
    return items[start:end], following


def fingerprint(*values: Any) -> str:
    """Returns a text that is equal for equal values, to bind a paging token to a query."""
    return json.dumps(values, sort_keys=True, default=str)


def without_none(**values: Any) -> dict[str, Any]:
    """Returns the values that are not None."""
    return {key: value for key, value in values.items() if value is not None}
