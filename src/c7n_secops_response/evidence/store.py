"""The evidence bucket: every object encrypted, hashed, and retained under Object Lock."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore import exceptions
from c7n.utils import dumps

from c7n_secops.aws import calls

DEFAULT_PREFIX = "cases"
ABSENT = frozenset({"NoSuchKey", "404"})
CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class StoreError(Exception):
    """The bucket cannot keep evidence as it must: nothing may be done."""

    def __init__(self, code: str, reason: str):
        super().__init__(reason)
        self.code = code


class ConflictError(Exception):
    """Somebody else wrote the object first."""


@dataclass(frozen=True)
class Stored:
    """An object of the case, as the manifest lists it; ``sha256`` in hexadecimal."""

    key: str
    sha256: str
    size: int
    version: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Store:
    """The evidence bucket of a policy; ``options`` are the keys of ``STORE_KEYS``."""

    def __init__(self, element: Any, options: dict[str, Any], session_name: str):
        """Assume the role, if one is given; raises RefusedError."""
        self.options = options
        self.bucket: str = options["bucket"]
        self.prefix: str = options.get("prefix", DEFAULT_PREFIX).strip("/")
        self.credentials = (
            calls.role_credentials(element, options["role"], session_name)
            if "role" in options
            else None
        )
        self.client = calls.client(element, "s3", credentials=self.credentials)

    def check(self) -> None:
        """Raise StoreError or RefusedError unless what is put here will be retained."""
        if not self.options.get("require-object-lock", True):
            return
        try:
            answer = calls.read(self.client.get_object_lock_configuration, Bucket=self.bucket)
        except exceptions.ClientError as error:
            code, message = calls.failure(error)
            if code != "ObjectLockConfigurationNotFoundError":
                raise StoreError(code, f"bucket {self.bucket}: {message}") from error
            answer = {}
        configuration = answer.get("ObjectLockConfiguration", {})
        if configuration.get("ObjectLockEnabled") != "Enabled":
            raise StoreError(
                "NoObjectLock",
                f"bucket {self.bucket} has no Object Lock, so evidence in it could be deleted; use "
                "a bucket that has it, or set require-object-lock: false",
            )
        if "retention" not in self.options and "Rule" not in configuration:
            raise StoreError(
                "NoRetention",
                f"bucket {self.bucket} retains nothing by default; set retention, or give the "
                "bucket a default retention",
            )

    def put(self, key: str, body: bytes, content_type: str, **conditions: str) -> dict[str, Any]:
        """Put an object and return S3's answer; raises ConflictError where a condition failed."""
        try:
            answer: dict[str, Any] = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
                ServerSideEncryption="aws:kms",
                **self._key(),
                **self._retention(),
                **conditions,
            )
        except exceptions.ClientError as error:
            if conditions and error.response["Error"]["Code"] in CONFLICTS:
                raise ConflictError(key) from error
            raise
        return answer

    def _key(self) -> dict[str, str]:
        return {"SSEKMSKeyId": self.options["kms-key"]} if "kms-key" in self.options else {}

    def _retention(self) -> dict[str, Any]:
        if "retention" not in self.options:
            return {}
        wanted = self.options["retention"]
        until = datetime.now(timezone.utc) + timedelta(days=wanted["days"])
        return {"ObjectLockMode": wanted["mode"], "ObjectLockRetainUntilDate": until}


class Folder:
    """The objects of one instance in one case; ``objects`` are those that are known, by name."""

    def __init__(self, store: Store, path: str):
        self.store, self.path = store, path
        self.objects: dict[str, Stored] = {}

    def put(self, name: str, body: bytes, content_type: str, **conditions: str) -> dict[str, Any]:
        """Put ``name``; raises ConflictError, or what botocore raises."""
        key = f"{self.path}/{name}"
        answer = self.store.put(key, body, content_type, **conditions)
        self.objects[name] = Stored(
            key, hashlib.sha256(body).hexdigest(), len(body), answer.get("VersionId")
        )
        return answer

    def put_json(self, name: str, value: Any, **conditions: str) -> dict[str, Any]:
        return self.put(name, dumps(value, indent=2).encode(), "application/json", **conditions)

    def get_json(self, name: str) -> tuple[Any, str]:
        """An object's value and ETag, (None, "") where there is none; raises RefusedError."""
        key = f"{self.path}/{name}"
        try:
            answer = calls.read(self.store.client.get_object, Bucket=self.store.bucket, Key=key)
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None, ""
            raise
        with calls.refusals("s3:GetObject"):
            body = answer["Body"].read()
        self.objects[name] = Stored(
            key, hashlib.sha256(body).hexdigest(), len(body), answer.get("VersionId")
        )
        return json.loads(body), answer["ETag"]

    def names(self) -> list[str]:
        """The names of all objects in the folder; raises RefusedError."""
        start = f"{self.path}/"
        found = calls.pages(
            self.store.client,
            "list_objects_v2",
            "Contents",
            1000,
            Bucket=self.store.bucket,
            Prefix=start,
        )
        return [row["Key"].removeprefix(start) for page in found for row in page]

    def recall(self, name: str) -> None:
        """Learn the hash of an object that an earlier run put; raises RefusedError."""
        key = f"{self.path}/{name}"
        answer = calls.read(
            self.store.client.head_object,
            Bucket=self.store.bucket,
            Key=key,
            ChecksumMode="ENABLED",
        )
        digest = base64.b64decode(answer.get("ChecksumSHA256", "")).hex()
        self.objects[name] = Stored(key, digest, answer["ContentLength"], answer.get("VersionId"))
