"""Runs a Lambda handler as AWS does: boto3, its dependencies and the archive, nothing else.

The interpreter starts isolated (``-I -S``), so that no site-packages of ours are visible: code
that forgets to package a library fails here as it fails on AWS.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROVIDED = "boto3"  # what the managed Python runtimes of AWS Lambda bring along

BOOTSTRAP = r"""
import json, os, sys, time
archive, provided, start = sys.argv[1], sys.argv[2], time.time()
sys.path[:0] = [archive, provided]
os.chdir(archive)
request = json.load(sys.stdin)
answer, sys.stdout = sys.stdout, sys.stderr

class Context:
    def __init__(self, values):
        self.__dict__.update(values)
        self.identity = self.client_context = None
    def get_remaining_time_in_millis(self):
        return max(0, int((start + request["timeout"] - time.time()) * 1000))

import logging
root = logging.getLogger()
if not root.handlers:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[%(levelname)s]\t%(asctime)s\t%(name)s\t%(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
try:
    import importlib
    module, name = request["handler"].rsplit(".", 1)
    function = getattr(importlib.import_module(module.replace("/", ".")), name)
    result = {"payload": function(request["event"], Context(request["context"]))}
    text = json.dumps(result)
except BaseException as error:
    import traceback
    traceback.print_exc()
    text = json.dumps({"error": {
        "errorMessage": str(error), "errorType": type(error).__name__,
        "requestId": request["context"]["aws_request_id"],
        "stackTrace": traceback.format_tb(error.__traceback__)}})
answer.write(text)
answer.flush()
"""


@dataclass(frozen=True)
class Result:
    """What an invocation gave: a payload or an error, and the log text."""

    payload: Any
    log: str
    error: dict[str, Any] | None = None
    duration: float = 0.0
    request_id: str = ""


def closure(name: str) -> list[str]:
    """Finds a distribution and everything that it requires, without extras."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        each = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if each in found:
            continue
        found.append(each)
        needed = [r for r in importlib.metadata.requires(each) or [] if "extra ==" not in r]
        waiting += [re.split(r"[\s;<>=!~\[(]", r, maxsplit=1)[0] for r in needed]
    return sorted(found)


@functools.cache
def runtime_path() -> Path:
    """Builds, once in a process, a folder with boto3 and its dependencies only."""
    home = Path(tempfile.mkdtemp(prefix="lambda-runtime-"))
    import atexit

    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in closure(PROVIDED):
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (home / top).exists():
                (home / top).symlink_to(source.resolve())
    return home


def run_handler(
    archive_dir: Path | str,
    handler: str,
    event: Any,
    environ: dict[str, str] | None = None,
    timeout: float = 60,
    *,
    python: str | None = None,
    context: dict[str, Any] | None = None,
) -> Result:
    """Runs ``handler`` of an unzipped archive with only the given environment."""
    name = (environ or {}).get("AWS_LAMBDA_FUNCTION_NAME", "function")
    request_id = str(uuid.uuid4())
    full_context = {
        "aws_request_id": request_id,
        "function_name": name,
        "function_version": "$LATEST",
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:111111111111:function:{name}",
        "memory_limit_in_mb": 128,
        "log_group_name": f"/aws/lambda/{name}",
        "log_stream_name": time.strftime("%Y/%m/%d/[$LATEST]") + uuid.uuid4().hex,
        **(context or {}),
    }
    request = {"handler": handler, "event": event, "timeout": timeout, "context": full_context}
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": tempfile.gettempdir(),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "LAMBDA_TASK_ROOT": str(archive_dir),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(environ or {}),
    }
    command = [
        python or sys.executable,
        "-I",
        "-S",
        "-c",
        BOOTSTRAP,
        str(Path(archive_dir).resolve()),
        str(runtime_path()),
    ]
    started = time.monotonic()
    try:
        process = subprocess.run(
            command,
            input=json.dumps(request),
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        log = expired.stderr or b""
        error = {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"{request_id} Task timed out after {timeout:.2f} seconds",
        }
        text = log.decode(errors="replace") if isinstance(log, bytes) else log
        return Result(None, text, error, time.monotonic() - started, request_id)
    duration = time.monotonic() - started
    try:
        answer = json.loads(process.stdout)
    except ValueError:
        error = {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"Runtime exited with error: exit status {process.returncode}",
        }
        return Result(None, process.stderr, error, duration, request_id)
    return Result(answer.get("payload"), process.stderr, answer.get("error"), duration, request_id)
