"""``python -m tests.emulator``: serve until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import warnings
from typing import Any

# Before moto is imported, which reads them once.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
for _name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "MOTO_ACCOUNT_ID"):
    os.environ.pop(_name, None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--iam", action="store_true", help="enforce IAM policies")
    parser.add_argument("--delay-ms", type=float, default=0, help="delay of every AWS call")
    parser.add_argument(
        "--lambda-python", default=sys.executable, help="interpreter that runs Lambda functions"
    )
    parser.add_argument(
        "--no-validate", action="store_true", help="do not check replies (for benchmarks)"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    # moto warns of error codes that a service model lacks, which common errors do.
    warnings.filterwarnings("ignore", category=UserWarning, module="moto")

    from werkzeug.serving import make_server

    from tests.emulator import kit
    from tests.emulator.services import install

    kit.check_moto_version()
    kit.Settings.validate_replies = not options.no_validate
    kit.Settings.lambda_python = options.lambda_python
    install()

    from tests.emulator.server import Emulator, Handler

    app = Emulator(iam=options.iam, delay_ms=options.delay_ms)
    server = make_server("127.0.0.1", options.port, app, threaded=True, request_handler=Handler)
    kit.Settings.url = f"http://127.0.0.1:{server.server_port}"
    os.environ["MOTO_PORT"] = str(server.server_port)  # where state machines call AWS

    def stop(*_: Any) -> None:
        # serve_forever runs in this thread, so its own shutdown() would wait for ever.
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"emulator ready at {kit.Settings.url}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
