"""An AWS emulator: moto server, extended from outside with what moto lacks.

>>> from tests.emulator import running
>>> with running() as emulator:
...     emulator.client('ec2', '111111111111', 'us-east-1').describe_instances()

See ``docs/emulator.md`` for the control interface and for what is known to differ from AWS.
"""

from tests.emulator.client import Call, Emulator, running

__all__ = ["Call", "Emulator", "running"]
