"""Finds the case files of packs, runs their cases and their mutants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from c7n_secops_tools.cases.judging import Result, compare, wrongs
from c7n_secops_tools.cases.mutants import Mutant, mutants
from c7n_secops_tools.cases.policies import InvalidPolicyError, policies_in
from c7n_secops_tools.cases.reading import (
    FOLDER,
    BadInput,
    Case,
    CaseFile,
    read_cases,
    read_yaml,
)
from c7n_secops_tools.cases.running import run
from c7n_secops_tools.cases.validity import allows_mutant

Data = dict[str, Any]
T = TypeVar("T")


@dataclass
class PolicyCheck:
    """A policy: its cases' results, and what the mutation check found of it."""

    file: Path
    line: int
    name: str
    data: Data
    cases: list[Case] = field(default_factory=list)
    allowed: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    killed: list[tuple[Mutant, Case]] = field(default_factory=list)
    survived: list[Mutant] = field(default_factory=list)
    excused: list[Mutant] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    """Places of exceptions that no surviving mutant needs."""

    @property
    def passed(self) -> bool:
        """Whether each case passed."""
        return not any(result.wrong for result in self.results)


@dataclass
class Found:
    """The policies that the paths name, and whether each of them must have a case."""

    policies: list[PolicyCheck]
    complete: bool

    @property
    def without_case(self) -> list[PolicyCheck]:
        """The policies that have no case, though they must."""
        return [each for each in self.policies if self.complete and not each.cases]


def find(paths: Sequence[Path], only: str = "") -> Found:
    """The policies and cases of files and folders. Raises BadInput with every mistake.

    A folder stands for the policy files and case files in it, a policy file for its own case
    files. A case file stands for its cases alone: its other policies need none then, and neither
    do they where ``only`` selects cases by a part of their file, policy or name.
    """
    case_files, policy_files, alone = _files(paths)
    mistakes: list[str] = []
    read = _all(read_cases, case_files, mistakes)
    if not alone:
        wanted = {path.resolve() for path in policy_files}
        read = [each for each in read if each.policies in wanted or each.path in paths]
    if alone:
        policy_files = sorted({each.policies for each in read if each.policies.exists()})
    checks = {
        file.resolve(): policies for file, policies in _all(_policies, policy_files, mistakes)
    }
    for each in read:
        mistakes += _add(each, checks, only)
    if mistakes:
        raise BadInput("\n".join(dict.fromkeys(mistakes)))
    found = [check for file in checks.values() for check in file.values()]
    complete = not only and not alone
    return Found([check for check in found if complete or check.cases], complete)


def check(found: Found, mutate: bool, done: Callable[[PolicyCheck], None]) -> None:
    """Run every case and, where asked and all pass, every mutant; ``done`` gets each policy."""
    for each in found.policies:
        for case in each.cases:
            started = time.perf_counter()
            wrong = wrongs(each.data, case)
            each.results.append(Result(case, wrong, time.perf_counter() - started))
        if mutate and each.cases and each.passed:
            _mutate(each)
        done(each)


def _mutate(each: PolicyCheck) -> None:
    for mutant in mutants(each.data):
        killer = _killer(mutant, each.cases)
        if killer is None:
            continue
        if isinstance(killer, Case):
            each.killed.append((mutant, killer))
        elif mutant.place in each.allowed:
            each.excused.append(mutant)
        else:
            each.survived.append(mutant)
    used = {mutant.place for mutant in each.excused}
    each.needless = [place for place in each.allowed if place not in used]


def _killer(mutant: Mutant, cases: Iterable[Case]) -> Case | bool | None:
    """The case that goes red; True where the mutant survives; None where it is not valid."""
    if not allows_mutant(mutant.policy):
        return None
    for case in cases:
        try:
            outcome = run(mutant.policy, case, checked=True)
        except InvalidPolicyError:
            return None
        if any(compare(case.expect, outcome)):
            return case
    return True


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[Path], bool]:
    """Case files, policy files, and whether only case files were named."""
    case_files: list[Path] = []
    policy_files: list[Path] = []
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.yml")):
                if file.parent.name == FOLDER:
                    case_files.append(file)
                elif FOLDER not in file.relative_to(path).parts and _is_policy_file(file):
                    policy_files.append(file)
        elif path.parent.name == FOLDER:
            case_files.append(path)
        else:
            policy_files.append(path)
            case_files += sorted((path.parent / FOLDER).glob("*.yml"))
    return list(dict.fromkeys(case_files)), list(dict.fromkeys(policy_files)), not policy_files


def _is_policy_file(file: Path) -> bool:
    data = read_yaml(file).data
    return isinstance(data, dict) and "policies" in data


def _all(read: Callable[[Path], T], files: Sequence[Path], mistakes: list[str]) -> list[T]:
    """What can be read of the files; the mistakes of the others are added."""

    def each(file: Path) -> list[T]:
        try:
            return [read(file)]
        except BadInput as error:
            mistakes.append(str(error))
            return []

    return [found for file in files for found in each(file)]


def _policies(path: Path) -> tuple[Path, dict[str, PolicyCheck]]:
    document = read_yaml(path)
    lines = {
        policy["name"]: document.line(("policies", number))
        for number, policy in enumerate(document.data.get("policies") or ())
        if isinstance(policy, dict) and "name" in policy
    }
    return path, {
        name: PolicyCheck(path, lines.get(name, 1), name, policy)
        for name, policy in policies_in(path).items()
    }


def _add(each: CaseFile, checks: dict[Path, dict[str, PolicyCheck]], only: str) -> Iterator[str]:
    policies = checks.get(each.policies)
    if policies is None:
        yield f"{each.path}:1: there is no policy file {each.policies}; name it under policies"
        return
    for name in each.allowed:
        if name not in policies:
            yield f"{each.path}:1: exceptions: {each.policies.name} has no policy {name}"
        else:
            policies[name].allowed.update(each.allowed[name])
    for case in each.cases:
        if case.policy not in policies:
            known = ", ".join(policies)
            yield f"{case.where}: {each.policies.name} has no policy {case.policy}, but {known}"
        elif only.lower() in f"{case.file} {case.policy} {case.name}".lower():
            policies[case.policy].cases.append(case)
