"""Amazon API Gateway: REST APIs that CloudFormation makes from an OpenAPI body, and their calls.

A request whose Host is ``<api>.execute-api.<region>.amazonaws.com`` goes to the API as a client's
would: signature, API key and quota, body model, mapping template, service integration under the
integration's role, response template. Mapping templates are rendered by ministack's own renderer;
only ``#if … #else … #end`` and the override of the status are read here.

State of one account and region: ``bodies`` (API id -> OpenAPI body) and ``used`` (key id ->
requests counted).
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from jsonschema import Draft4Validator
from ministack.services.apigateway_v1 import _render_request_template_v1 as render_references
from moto.apigateway.models import Deployment, RestAPI, apigateway_backends

from tests.emulator import lambdas
from tests.emulator.cloudformation import resource
from tests.emulator.identity import Caller
from tests.emulator.kit import state
from tests.emulator.wire import Answer, Asked

SERVICE = "apigateway"
HOST = re.compile(r"^(\w+)\.execute-api\.([\w-]+)\.amazonaws\.com(:\d+)?$")
CONDITIONAL = re.compile(r"#if\((.+?) == (\w+)\)\n(.*?)#else\n(.*?)#end", re.DOTALL)
STATUS = re.compile(r"#set\(\$context\.responseOverride\.status = (\d+)\)\n?")

INVALID = "Invalid request body"

Call = Callable[[dict[str, Any]], Answer]


# --- calls of an API -----------------------------------------------------------------------------


def is_endpoint(environ: dict[str, Any]) -> bool:
    """Whether a request is for a deployed API."""
    return HOST.match(environ.get("HTTP_HOST", "")) is not None


def find_api(environ: dict[str, Any]) -> tuple[str, str, str] | None:
    """The API's account, region and id."""
    found = HOST.match(environ["HTTP_HOST"])
    for account in list(apigateway_backends):
        if found and found[1] in state(SERVICE, account, found[2], "bodies"):
            return account, found[2], found[1]
    return None


def resource_arn(asked: Asked) -> str:
    """What execute-api:Invoke is about."""
    account, region, api = find_api(asked.environ) or ("", asked.region, "unknown")
    stage, _, path = asked.environ["PATH_INFO"].lstrip("/").partition("/")
    method = asked.environ["REQUEST_METHOD"]
    return f"arn:aws:execute-api:{region}:{account}:{api}/{stage}/{method}/{path}"


def message(status: int, text: str) -> Answer:
    return written(status, json.dumps({"message": text}))


def written(status: int, body: str) -> Answer:
    data = body.encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    return Answer(status, headers, data)


def invoke(asked: Asked, caller: Caller | Answer | None, call: Call) -> Answer:
    """Answers a request to an API; ``call`` makes the integration's request."""
    place = find_api(asked.environ)
    if place is None:
        return message(403, "Forbidden")
    account, region, api = place
    body = state(SERVICE, account, region, "bodies")[api]
    stage, _, path = asked.environ["PATH_INFO"].lstrip("/").partition("/")
    method = asked.environ["REQUEST_METHOD"].lower()
    operation = body["paths"].get(f"/{path}", {}).get(method)
    if operation is None or stage not in apigateway_backends[account][region].apis[api].stages:
        return message(403, "Missing Authentication Token")
    refused = (
        unsigned(body, operation, caller, account)
        or over_quota(body, operation, asked, account, region, api, stage)
        or unfit(body, operation, asked)
    )
    if refused:
        return refused
    assert isinstance(caller, Caller)
    return integrate(operation["x-amazon-apigateway-integration"], asked, caller, region, call)


def schemes(body: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the operation asks a client for."""
    known = body["components"]["securitySchemes"]
    return [known[name] for each in operation.get("security", ()) for name in each]


def unsigned(
    body: dict[str, Any], operation: dict[str, Any], caller: Any, account: str
) -> Answer | None:
    if not any("x-amazon-apigateway-authtype" in each for each in schemes(body, operation)):
        return None
    if caller is None:
        return message(403, "Missing Authentication Token")
    if isinstance(caller, Answer):
        return message(403, "The security token included in the request is invalid.")
    if caller.account != account:
        return message(403, f"User: {caller.arn} is not authorized to access this resource")
    return None


def over_quota(
    body: dict[str, Any],
    operation: dict[str, Any],
    asked: Asked,
    account: str,
    region: str,
    api: str,
    stage: str,
) -> Answer | None:
    if not any(each["name"] == "x-api-key" for each in schemes(body, operation)):
        return None
    backend = apigateway_backends[account][region]
    given = asked.environ.get("HTTP_X_API_KEY")
    key = next((k for k in backend.keys.values() if k.value == given and k.enabled), None)
    if key is None:
        return message(403, "Forbidden")
    stages = {"apiId": api, "stage": stage}
    plans = [p for p in backend.get_usage_plans(key.id) if stages in p.api_stages]
    if not plans:
        return message(403, "Forbidden")
    used = state(SERVICE, account, region, "used")
    if any(used.get(key.id, 0) >= int(plan.quota.get("limit", 1e9)) for plan in plans):
        return message(429, "Limit Exceeded")
    used[key.id] = used.get(key.id, 0) + 1
    return None


def unfit(body: dict[str, Any], operation: dict[str, Any], asked: Asked) -> Answer | None:
    name = operation.get("x-amazon-apigateway-request-validator", "")
    validator = body["x-amazon-apigateway-request-validators"].get(name, {})
    kind = asked.environ.get("CONTENT_TYPE", "").split(";")[0] or "application/json"
    integration = operation["x-amazon-apigateway-integration"]
    if kind not in integration["requestTemplates"]:
        return message(415, "Unsupported Media Type")
    if not validator.get("validateRequestBody"):
        return None
    model = operation["requestBody"]["content"][kind]
    try:
        document = json.loads(asked.body)
    except ValueError:
        return message(400, INVALID)
    schema = {"components": body["components"], "allOf": [model["schema"]]}
    return None if Draft4Validator(schema).is_valid(document) else message(400, INVALID)


def integrate(
    integration: dict[str, Any], asked: Asked, caller: Caller, region: str, call: Call
) -> Answer:
    """Makes the service's request under the integration's role, and shapes its answer."""
    service, kind, action = re.match(  # type: ignore[union-attr]
        r"arn:aws:apigateway:[\w-]+:(\w+):(\w+)/(\w+)$", integration["uri"]
    ).groups()
    assert (integration["type"], kind) == ("aws", "action"), "not emulated"
    context = {"identity": {"userArn": caller.arn}, "requestId": str(uuid.uuid4())}
    body, _ = render(integration["requestTemplates"]["application/json"], asked.body, context)
    sent = {
        name.rsplit(".", 1)[1]: value.strip("'")
        for name, value in integration.get("requestParameters", {}).items()
    }
    answer = call(request(asked, service, region, integration["credentials"], sent, body))
    responses = integration["responses"]
    response = responses.get(str(answer.status), responses["default"])
    template = response["responseTemplates"]["application/json"]
    text, status = render(template, answer.body, context)
    assert action in sent.get("X-Amz-Target", ""), f"X-Amz-Target does not name {action}"
    return written(status or int(response["statusCode"]), text)


def request(
    asked: Asked, service: str, region: str, role: str, headers: dict[str, str], body: str
) -> dict[str, Any]:
    """The environment of a signed request to a service."""
    keys = lambdas.role_credentials(role, "BackplaneAssumeRoleSession", region)
    scope = f"{keys['AWS_ACCESS_KEY_ID']}/20000101/{region}/{service}/aws4_request"
    data = body.encode()
    kept = {k: v for k, v in asked.environ.items() if not k.startswith(("HTTP_", "werkzeug"))}
    given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        **kept,
        **given,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "RAW_URI": "/",
        "REQUEST_URI": "/",
        "QUERY_STRING": "",
        "CONTENT_TYPE": headers.get("Content-Type", "application/json"),
        "CONTENT_LENGTH": str(len(data)),
        "HTTP_HOST": f"{service}.{region}.amazonaws.com",
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, "
        "Signature=0",
        "HTTP_X_AMZ_SECURITY_TOKEN": keys["AWS_SESSION_TOKEN"],
        "wsgi.input": io.BytesIO(data),
    }


def render(template: str, body: bytes, context: dict[str, Any]) -> tuple[str, int | None]:
    """Fills a mapping template; returns the text and the status that it sets."""

    def references(text: str) -> str:
        plain = re.sub(r"\[(\d+)\]", r".\1", text)
        return str(render_references(plain, body.decode(), {}, context))

    def choose(found: re.Match[str]) -> str:
        return found[3] if references(found[1]) == found[2] else found[4]

    chosen = CONDITIONAL.sub(choose, template)
    status = STATUS.search(chosen)
    return references(STATUS.sub("", chosen)).strip(), int(status[1]) if status else None


# --- CloudFormation ------------------------------------------------------------------------------

moto_create_api = RestAPI.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
moto_create_deployment = Deployment.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]


def create_api(
    cls: Any, resource_name: str, document: Any, account_id: str, region_name: str, **more: Any
) -> RestAPI:
    api = moto_create_api(cls, resource_name, document, account_id, region_name, **more)
    body = document["Properties"].get("Body")
    if body:
        state(SERVICE, account_id, region_name, "bodies")[api.id] = body
    made: RestAPI = api
    return made


def create_deployment(
    cls: Any, resource_name: str, document: Any, account_id: str, region_name: str, **more: Any
) -> Deployment:
    """moto refuses an API without methods of its own; ours stand in the body."""
    api_id = document["Properties"]["RestApiId"]
    if api_id not in state(SERVICE, account_id, region_name, "bodies"):
        made: Deployment = moto_create_deployment(
            cls, resource_name, document, account_id, region_name, **more
        )
        return made
    api = apigateway_backends[account_id][region_name].get_rest_api(api_id)
    deployment = Deployment(uuid.uuid4().hex[:6], "", "")
    api.deployments[deployment.id] = deployment
    return deployment


def lower(properties: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's names as API Gateway spells them."""
    return {key[0].lower() + key[1:]: value for key, value in properties.items()}


@resource("AWS::ApiGateway::Stage")
def create_stage(account: str, region: str, given: dict[str, Any]) -> str:
    api = apigateway_backends[account][region].get_rest_api(given["RestApiId"])
    api.create_stage(given["StageName"], given["DeploymentId"], None, "", None, None, None, None)
    return str(given["StageName"])


@resource("AWS::ApiGateway::UsagePlan")
def create_usage_plan(account: str, region: str, given: dict[str, Any]) -> str:
    plan = {
        "name": given.get("UsagePlanName", "plan"),
        "apiStages": [lower(each) for each in given.get("ApiStages", ())],
        "quota": lower(given.get("Quota", {})),
        "throttle": lower(given.get("Throttle", {})),
    }
    return str(apigateway_backends[account][region].create_usage_plan(plan).id)


@resource("AWS::ApiGateway::ApiKey")
def create_api_key(account: str, region: str, given: dict[str, Any]) -> str:
    return str(apigateway_backends[account][region].create_api_key(lower(given)).id)


@resource("AWS::ApiGateway::UsagePlanKey")
def create_usage_plan_key(account: str, region: str, given: dict[str, Any]) -> str:
    backend = apigateway_backends[account][region]
    backend.create_usage_plan_key(given["UsagePlanId"], lower(given))
    return str(given["KeyId"])


def install() -> None:
    RestAPI.create_from_cloudformation_json = classmethod(create_api)
    Deployment.create_from_cloudformation_json = classmethod(create_deployment)
    Deployment.physical_resource_id = property(lambda self: self.id)
