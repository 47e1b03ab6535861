"""The control interface: what a test may do to the emulator that AWS has no operation for."""

from __future__ import annotations

from typing import Any

from moto.moto_api._internal.models import moto_api_backend

from tests.emulator import (
    events,
    identity,
    inspector,
    inspector2,
    lambdas,
    organizations,
    queues,
    ssm,
)
from tests.emulator.kit import state
from tests.emulator.server import Emulator, Fault


def call(emulator: Emulator, name: str, arguments: dict[str, Any]) -> Any:
    """Runs one control function; unknown names and arguments are refused."""
    if name not in FUNCTIONS:
        raise ValueError(f"no control function {name!r}; there are {sorted(FUNCTIONS)}")
    return FUNCTIONS[name](emulator, **arguments)


def reset(emulator: Emulator) -> None:
    lambdas.forget()
    moto_api_backend.reset()
    identity.KEYS.clear()
    inspector.forget()
    emulator.faults = []
    emulator.delay_ms = emulator.first_delay
    emulator.log.clear()


def calls(
    emulator: Emulator,
    service: str | None = None,
    operation: str | None = None,
    account: str | None = None,
) -> list[dict[str, Any]]:
    return [
        record.to_dict()
        for record in list(emulator.log)
        if service in (None, record.asked.service)
        and operation in (None, record.asked.operation)
        and account in (None, record.asked.account)
    ]


def clear_calls(emulator: Emulator) -> None:
    emulator.log.clear()


def fault(emulator: Emulator, **fields: Any) -> None:
    emulator.faults = [*emulator.faults, Fault(**fields)]


def faults(emulator: Emulator) -> list[dict[str, Any]]:
    return [each.to_dict() for each in emulator.faults]


def clear_faults(emulator: Emulator) -> None:
    emulator.faults = []


def delay(emulator: Emulator, ms: float) -> None:
    emulator.delay_ms = ms


def seed(emulator: Emulator, service: str, account: str, region: str, key: str, items: Any) -> None:
    """Merges items into a piece of extension state: a dict, or a list that is appended."""
    home = state(service, account, region, key, type(items))
    if isinstance(home, list):
        home.extend(items)
    else:
        home.update(items)


def add_findings(
    emulator: Emulator, account: str, region: str, findings: list[dict[str, Any]]
) -> int:
    return inspector2.add_findings(account, region, findings)


def add_classic_findings(
    emulator: Emulator, account: str, region: str, findings: list[dict[str, Any]]
) -> None:
    inspector.add(account, region, findings)


def poll_queue(
    emulator: Emulator, account: str, region: str, queue: str, batches: int | None = None
) -> int:
    return queues.poll(account, region, queue, batches)


def remove_findings(emulator: Emulator, account: str, region: str, arns: list[str]) -> None:
    inspector2.store_of(account, region).remove(arns)


def set_coverage(emulator: Emulator, account: str, region: str, rows: list[dict[str, Any]]) -> None:
    inspector2.set_coverage(account, region, rows)


def set_inspector_status(
    emulator: Emulator, account: str, region: str, statuses: dict[str, str]
) -> None:
    inspector2.status_of(account, region).update(statuses)


def set_agent(
    emulator: Emulator, account: str, region: str, instance_id: str, fields: dict[str, Any]
) -> None:
    ssm.set_agent(account, region, instance_id, fields)


def set_patch_state(
    emulator: Emulator, account: str, region: str, instance_id: str, fields: dict[str, Any]
) -> None:
    ssm.set_patch_state(account, region, instance_id, fields)


def set_command_behaviour(
    emulator: Emulator,
    account: str,
    region: str,
    status: str,
    per_instance: dict[str, str] | None = None,
) -> None:
    ssm.set_behaviour(account, region, status, per_instance)


def finish_commands(
    emulator: Emulator,
    account: str,
    region: str,
    status: str,
    instance_ids: list[str] | None = None,
) -> int:
    return ssm.finish_commands(account, region, status, instance_ids)


def deliver_event(
    emulator: Emulator, account: str, region: str, event: dict[str, Any], bus: str
) -> int:
    return events.deliver(account, region, event, bus)


def form_organization(emulator: Emulator, management: str, accounts: list[dict[str, Any]]) -> None:
    organizations.form(management, accounts)


def fire_schedule(emulator: Emulator, account: str, region: str, rule_name: str, bus: str) -> int:
    return events.fire_schedule(account, region, rule_name, bus)


def lambda_results(
    emulator: Emulator, account: str, region: str, function: str | None = None
) -> list[dict[str, Any]]:
    return lambdas.results(account, region, function)


FUNCTIONS = {
    function.__name__: function
    for function in (
        add_classic_findings,
        add_findings,
        calls,
        clear_calls,
        clear_faults,
        delay,
        deliver_event,
        fault,
        faults,
        finish_commands,
        fire_schedule,
        form_organization,
        lambda_results,
        poll_queue,
        remove_findings,
        reset,
        seed,
        set_agent,
        set_command_behaviour,
        set_coverage,
        set_inspector_status,
        set_patch_state,
    )
}
