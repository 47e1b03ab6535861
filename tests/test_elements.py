"""What every element and every shipped policy must be, whoever adds one."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from c7n.config import Config
from c7n.filters import Filter
from c7n.resources import load_resources
from c7n.resources.aws import AWS
from policy_sentry.querying.all import get_all_actions

from c7n_secops.element import SecOpsElement
from c7n_secops.registration import REGISTRIES, ElementFile, element_files
from c7n_secops_tools.testing.runs import load_policy, names_in
from tests.emulator import Emulator
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, Cli, Custodian
from tests.inspector_data import launch, policy

ELEMENTS = element_files()
FILES = sorted(file for file in POLICIES.rglob("*.yml") if "tests" not in file.parts)
SHIPPED = [
    pytest.param(data, id=data["name"])
    for file in FILES
    for data in yaml.safe_load(file.read_text())["policies"]
]
VARIABLES = yaml.safe_load((ROOT / "accounts.yml").read_text())["accounts"][0]["vars"]
OURS = {path.name for path in (ROOT / "src").iterdir() if (path / "__init__.py").exists()}
AT_RUN_TIME = {"boto3", "botocore", "c7n", "c7n_secops", *sys.stdlib_module_names}
WITHOUT_OPERATION = {
    "iam:CreateServiceLinkedRole",
    "es:ESHttpGet",
    "es:ESHttpPost",
    "es:ESHttpPut",
    "iam:PassRole",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "organizations:EnableAWSServiceAccess",
    "organizations:RegisterDelegatedAdministrator",
    "s3:PutObjectRetention",
}
"""IAM actions that AWS checks although nobody calls an operation of the name."""
ANOTHER_NAME = {
    "apigateway:GET": "apigateway:GetDomainNames",
    "lambda:InvokeFunction": "lambda:Invoke",
    "s3:GetBucketObjectLockConfiguration": "s3:GetObjectLockConfiguration",
    "s3:GetBucketPublicAccessBlock": "s3:GetPublicAccessBlock",
    "s3:ListBucket": "s3:ListObjectsV2",
    "wafv2:ListWebACLs": "wafv2:ListWebAcls",
}

every_element = pytest.mark.parametrize(
    "element", ELEMENTS, ids=[f"{element.kind}:{element.name}" for element in ELEMENTS]
)
every_policy = pytest.mark.parametrize("data", SHIPPED)


def loaded(data: dict[str, Any]) -> Any:
    config = Config.empty(regions=[REGION], account_id=ACCOUNT)
    return load_policy(data, config, VARIABLES)


@cache
def class_of(element: ElementFile) -> type[SecOpsElement]:
    return element.load()


def file_of(module: str) -> Path:
    """The source of one of our modules, wherever it stands in the tree."""
    package, *parts = module.split(".")
    path = (ROOT / "src" / package).joinpath(*parts)
    if parts and parts[0] in REGISTRIES:
        kind, *inner = parts
        path = (ROOT / kind / package.removeprefix("c7n_secops_")).joinpath(*inner)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(file_of(module).read_text())


def imports_of(module: str) -> Iterator[tuple[str, bool]]:
    """The modules that one imports, and whether it does so as it is imported itself."""
    later = {
        id(node)
        for block in ast.walk(tree_of(module))
        if isinstance(block, ast.FunctionDef)
        or (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        for node in ast.walk(block)
    }
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) not in later
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in later
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                if node.module.split(".")[0] in OURS and file_of(inner).exists():
                    yield inner, id(node) not in later


@cache
def closure(module: str) -> frozenset[str]:
    """A module of ours and all of ours that its import imports."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found or not file_of(name).exists():
            continue
        found.add(name)
        waiting += [
            other
            for other, at_import in imports_of(name)
            if at_import and other.split(".")[0] in OURS
        ]
    return frozenset(found)


def subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with where it stands; Custodian's own references excluded."""
    if not isinstance(schema, dict) or "$ref" in schema:
        return
    yield path, schema
    for key, part in schema.get("properties", {}).items():
        yield from subschemas(part, f"{path}.{key}")
    for key, part in schema.get("patternProperties", {}).items():
        yield from subschemas(part, f"{path}.<{key}>")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        yield from subschemas(schema.get(keyword), f"{path}.{keyword}")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for number, part in enumerate(schema.get(keyword, ())):
            yield from subschemas(part, f"{path}.{keyword}[{number}]")


# --- what an author sees ------------------------------------------------------------------------


@every_element
def test_the_schema_takes_no_key_that_it_does_not_know(element: ElementFile) -> None:
    open_objects = [
        path
        for path, schema in subschemas(class_of(element).schema)
        if (schema.get("type") == "object" or "properties" in schema)
        and schema.get("additionalProperties", True) is True
    ]
    assert open_objects == []


@every_element
def test_every_text_that_the_schema_takes_is_bounded(element: ElementFile) -> None:
    unbounded = [
        path
        for path, schema in subschemas(class_of(element).schema)
        if schema.get("type") == "string"
        and not {"maxLength", "enum", "const"} & schema.keys()
        and not re.fullmatch(r"\^.*\$", schema.get("pattern", ""), re.DOTALL)
    ]
    assert unbounded == []


@every_element
def test_the_element_is_called_as_its_file_is(element: ElementFile) -> None:
    assert class_of(element).schema["properties"]["type"]["enum"] == [element.name]


@every_element
def test_the_first_line_of_its_documentation_says_what_it_does(element: ElementFile) -> None:
    first = inspect.getdoc(class_of(element)).splitlines()[0]  # type: ignore[union-attr]
    wanted = r"Finds .*" if element.kind == "filters" else r"[A-Z][a-z]+s\b .*"
    assert re.fullmatch(wanted, first), first


def examples(element: ElementFile) -> list[dict[str, Any]]:
    blocks = re.findall(
        r"code-block:: yaml\n\n((?:[ ]{4,}.*\n|\n)+)", f"{inspect.getdoc(class_of(element))}\n"
    )
    return [data for block in blocks for data in yaml.safe_load(dedent(block))["policies"]]


def uses(data: dict[str, Any], element: ElementFile) -> bool:
    return element.name in names_in(data.get(element.kind))


@every_element
def test_the_examples_of_its_documentation_are_valid_and_use_it(element: ElementFile) -> None:
    shown = examples(element)
    assert any(uses(data, element) for data in shown)
    for data in shown:
        loaded(data)


@every_element
def test_a_shipped_policy_uses_it(element: ElementFile) -> None:
    assert any(uses(parameter.values[0], element) for parameter in SHIPPED)


@every_element
def test_what_it_annotates_is_documented(element: ElementFile) -> None:
    cls = class_of(element)
    own = {
        node.value
        for node in ast.walk(tree_of(element.module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"c7n:\w+", node.value)
    }
    documented = {key for other in ELEMENTS for key in class_of(other).annotations}
    assert own <= documented
    for key, meaning in cls.annotations.items():
        assert re.fullmatch(r"c7n:([A-Z][a-z0-9]+)+", key)
        assert len(meaning) > 10
        assert key in inspect.getdoc(cls)  # type: ignore[operator]


# --- registration and permissions ---------------------------------------------------------------


def test_elements_are_registered_where_their_files_say_and_nowhere_else() -> None:
    load_resources(sorted({name for element in ELEMENTS for name in element.resources}))
    registered = {
        (kind, name, f"aws.{resource}")
        for resource, cls in AWS.resources.items()
        for kind, registry in REGISTRIES.items()
        for name, element in getattr(cls, registry).items()
        if issubclass(element, SecOpsElement)
    }
    assert registered == {
        (element.kind, element.name, resource)
        for element in ELEMENTS
        for resource in element.resources
    }


@every_element
def test_it_can_be_asked_for_permissions_without_a_policy_s_data(element: ElementFile) -> None:
    manager = loaded(policy()).resource_manager
    permissions = class_of(element)({}, manager).get_permissions()  # type: ignore[call-arg]
    assert set(permissions) <= set(class_of(element).permissions) | set(permissions)
    assert all(isinstance(name, str) for name in permissions)


@cache
def iam_actions() -> frozenset[str]:
    return frozenset(get_all_actions())


@every_element
def test_its_permissions_exist(element: ElementFile) -> None:
    assert sorted(set(class_of(element).permissions) - iam_actions()) == []


@every_element
def test_it_asks_for_no_permission_that_its_code_has_no_call_for(element: ElementFile) -> None:
    used = {
        name
        for module in closure(element.module)
        for node in ast.walk(tree_of(module))
        for name in (getattr(node, "attr", None), getattr(node, "value", None))
        if isinstance(name, str)
    }
    idle = [
        action
        for action in class_of(element).permissions
        if action not in WITHOUT_OPERATION
        and snake(ANOTHER_NAME.get(action, action).partition(":")[2]) not in used
    ]
    assert idle == []


def snake(operation: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operation).lower()


def test_a_call_that_is_missing_from_permissions_fails_the_test_that_makes_it(
    emulator: Emulator, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(emulator)
    data = policy("inspector-finding")
    custodian(data)
    made = {call.action for call in custodian.observer.calls if call.element is not None}
    assert "inspector2:ListFindings" in made
    (element,) = (element for element in ELEMENTS if element.name == "inspector-finding")
    cls = AWS.resources["ec2"].filter_registry["inspector-finding"]
    assert cls is class_of(element)
    monkeypatch.setattr(cls, "permissions", ("inspector2:ListCoverage",))
    with pytest.raises(
        AssertionError, match="'filter:inspector-finding', 'inspector2:ListFindings'"
    ):
        custodian(data)


# --- the code -----------------------------------------------------------------------------------


def schema_nodes(tree: ast.Module) -> set[int]:
    """The nodes of ``schema = …`` in classes, and of module constants in capitals."""
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return {
        id(inner)
        for node in assigned
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == "schema"
        for inner in ast.walk(node)
    }


@every_element
def test_every_key_of_the_schema_is_read(element: ElementFile) -> None:
    read = {
        node.value
        for module in closure(element.module)
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in schema_nodes(tree_of(module))
    }
    keys = class_of(element).schema["properties"].keys() - {"type"}
    assert sorted(keys - read) == []


@every_element
def test_every_key_of_the_schema_is_used_in_a_test_or_a_shipped_policy(
    element: ElementFile,
) -> None:
    tests = [file.read_text() for file in (ROOT / "tests").glob("test_*.py")]
    text = "\n".join([*tests, *(file.read_text() for file in FILES)])
    keys = {
        key
        for _path, schema in subschemas(class_of(element).schema)
        for key in schema.get("properties", {})
    }
    words = set(re.findall(r"[\w-]+", text))
    assert sorted(keys - words) == []


@every_element
def test_what_runs_in_lambda_imports_only_what_is_there(element: ElementFile) -> None:
    there = AT_RUN_TIME | {element.module.split(".")[0], *class_of(element).packages}
    foreign = {
        (module, name)
        for module in closure(element.module) | closure("c7n_secops.handler")
        for name, at_import in imports_of(module)
        if at_import and name.split(".")[0] not in there
    }
    assert foreign == set()


# --- the shipped policies -----------------------------------------------------------------------


@every_policy
def test_a_shipped_policy_is_valid(data: dict[str, Any]) -> None:
    loaded(data)


@every_policy
def test_a_shipped_policy_says_how_bad_what_kind_and_what_to_do(data: dict[str, Any]) -> None:
    metadata = data["metadata"]
    assert metadata["severity"] in ("low", "medium", "high", "critical")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", metadata["category"])
    assert len(metadata["remediation"]) > 10
    assert 20 < len(data["description"]) <= 256


@every_policy
def test_a_shipped_policy_fits_a_lambda_function(data: dict[str, Any]) -> None:
    prefix = data.get("mode", {}).get("function-prefix", "custodian-")
    assert len(prefix + data["name"]) <= 64
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", data["name"])


def test_no_two_shipped_policies_have_one_name() -> None:
    names = Counter(parameter.values[0]["name"] for parameter in SHIPPED)
    assert [name for name, number in names.items() if number > 1] == []


def test_custodian_validate_takes_every_shipped_file(offline_cli: Cli) -> None:
    done = offline_cli("custodian", "validate", *FILES)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Configuration valid") == len(FILES)


@every_policy
def test_a_shipped_policy_that_changes_something_says_so_at_the_top_of_its_file(
    data: dict[str, Any],
) -> None:
    (file,) = (
        file for file in FILES if re.search(rf"^  - name: {data['name']}$", file.read_text(), re.M)
    )
    head = file.read_text().split("policies:")[0]
    warns = re.search(r"\b[A-Z]{5,}S\b", head)  # CHANGES INSTANCES, REBOOTS INSTANCES
    if data.get("actions"):
        assert warns
    else:
        assert warns or "read only" in head.lower()


def test_filters_and_actions_are_of_their_kind() -> None:
    for element in ELEMENTS:
        assert issubclass(class_of(element), Filter) is (element.kind == "filters")
