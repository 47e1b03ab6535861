"""``python -m c7n_secops custodian run …``: Custodian with our elements, whatever ``site`` did.

For installations where ``.pth`` files are not read, such as ``pip install --target``. Everything
after the program's name is handed to it unchanged.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from c7n_secops.registration import register

PROGRAMS = {"custodian": "c7n", "c7n-org": "c7n-secops[fleet]"}
"""The console scripts that can be run, and what to install where one is missing."""


def main(arguments: Sequence[str]) -> int:
    """Run the program that the arguments start with; 2 where there is no such program."""
    program = arguments[0] if arguments else ""
    if program not in PROGRAMS:
        sys.stderr.write(
            f"usage: python -m c7n_secops ({' | '.join(PROGRAMS)}) ARGUMENTS\n"
            f"unknown program: {program or 'none given'}\n"
        )
        return 2
    scripts = entry_points(group="console_scripts", name=program)
    if not scripts:
        sys.stderr.write(f"{program} is not installed: pip install '{PROGRAMS[program]}'\n")
        return 2
    if program == "c7n-org" and sys.platform == "linux":
        multiprocessing.set_start_method("fork")  # workers inherit what is registered here
    register()
    sys.argv = list(arguments)
    return next(iter(scripts)).load()() or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
