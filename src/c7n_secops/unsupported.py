"""Says where an element works, when a policy uses it on a resource that it does not support.

Custodian rejects such a policy, but its error cannot know why. The error goes through the logger
of its command line, where this filter adds the reason and the fix.
"""

from __future__ import annotations

import logging
import re

from c7n_secops.registration import element_files

LOGGER = "custodian.commands"
ERRORS = (
    re.compile(
        r"Error on policy:(?P<policy>\S+) resource:(?P<resource>\S+)\s+"
        r"(?P<block>.*) is not valid under any of the given schemas"
    ),
    re.compile(
        r"(?:Policy: (?P<policy>\S+) is invalid: |: )(?P<resource>[a-z0-9-]+)\.filters "
        r"Invalid filter type (?P<block>.*)"
    ),
)
WORD = re.compile(r"'([a-z0-9-]+)'")


class WhereItWorks(logging.Filter):
    """Puts a line before Custodian's error about one of our elements; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.ERROR:
            message = record.getMessage()
            advice = [line for error in ERRORS for line in where_it_works(error.search(message))]
            if advice:
                record.msg, record.args = "\n".join([*advice, message]), ()
        return True


def where_it_works(error: re.Match[str] | None) -> list[str]:
    """A line for each element of ours in a rejected block whose resource it does not support."""
    if error is None:
        return []
    resource = f"aws.{error['resource'].removeprefix('aws.')}"
    policy = f"policy:{error['policy']} " if error["policy"] else ""
    words = set(WORD.findall(error["block"]))
    return [
        f"{policy}{element.kind.removesuffix('s')}:{element.name} does not support {resource}; "
        f"use it in a policy with resource {' or '.join(element.resources)}"
        for element in element_files()
        if element.name in words and resource not in element.resources
    ]


def install() -> None:
    """Put the filter on Custodian's logger, once."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(found, WhereItWorks) for found in logger.filters):
        logger.addFilter(WhereItWorks())
