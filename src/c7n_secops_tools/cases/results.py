"""Results for machines: JUnit XML, and annotations of GitHub's workflows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from junitparser import Failure, JUnitXml, TestCase, TestSuite

from c7n_secops_tools.cases.checking import Found
from c7n_secops_tools.report.text import clean

FAILED = "a case failed"
NO_CASE = "a policy has no case"
SURVIVED = "a mutant survived"
NEEDLESS = "an exception is not needed"


class Finding(NamedTuple):
    """Something that makes the tests fail, and where."""

    file: Path
    line: int
    title: str
    text: str


def findings(found: Found) -> Iterator[Finding]:
    """All that makes the tests fail."""
    for each in found.policies:
        for result in each.results:
            if result.wrong:
                text = f"{each.name}: {result.case.name}\n" + "\n".join(result.wrong)
                yield Finding(result.case.file, result.case.line, FAILED, clean(text))
        for mutant in each.survived:
            text = f"{each.name}: no case goes red with {mutant}"
            yield Finding(each.file, each.line, SURVIVED, clean(text))
        for place in each.needless:
            text = f"{each.name}: no mutant at {place} survives; remove the exception"
            yield Finding(each.file, each.line, NEEDLESS, clean(text))
    for each in found.without_case:
        yield Finding(each.file, each.line, NO_CASE, f"{each.name} has no case")


def one_line(text: str) -> str:
    """The text as part of one line: it cannot begin another, which a workflow would obey."""
    return clean(" ".join(text.split()))


def annotation(finding: Finding) -> str:
    """A workflow command that puts the finding beside its line in a pull request."""
    file = os.path.relpath(finding.file)
    properties = {"file": file, "line": str(finding.line), "title": finding.title}
    named = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {named}::{_data(finding.text)}"


def write_junit(found: Found, path: Path) -> None:
    """Write a suite for each policy, with a test for each case and each mutation finding."""
    xml = JUnitXml("c7n-secops test")
    for each in found.policies:
        suite = TestSuite(clean(each.name))
        for result in each.results:
            test = TestCase(clean(result.case.name), clean(each.name), result.seconds)
            if result.wrong:
                test.result = [Failure(clean("\n".join(result.wrong)), FAILED)]
            suite.add_testcase(test)
        others = [
            finding
            for finding in findings(Found([each], found.complete))
            if finding.title != FAILED
        ]
        for finding in others:
            test = TestCase(finding.title, clean(each.name))
            test.result = [Failure(finding.text, finding.title)]
            suite.add_testcase(test)
        xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
