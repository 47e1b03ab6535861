"""Amazon S3, where moto differs.

* A bucket that CloudFormation makes has its versioning and Object Lock, and there are bucket
  policies.
* moto's own reading of bucket policies is off: it knows neither principals nor conditions. With
  ``--iam`` they are evaluated in ``iam``; without it they neither grant nor deny.
* ``GetBucketVersioning`` tells the MFA Delete that a test has seeded (``mfa_delete``: the buckets).
* Of conditional puts at the same time, one succeeds (moto asks and puts without a lock).
"""

from __future__ import annotations

import json
import threading
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response

from tests.emulator.cloudformation import resource
from tests.emulator.kit import state

moto_create_bucket = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]


def create_bucket(
    cls: Any, resource_name: str, document: Any, account_id: str, region_name: str, **more: Any
) -> FakeBucket:
    made: FakeBucket = moto_create_bucket(
        cls, resource_name, document, account_id, region_name, **more
    )
    given = document["Properties"]
    if given.get("VersioningConfiguration") or given.get("ObjectLockEnabled"):
        made.versioning_status = "Enabled"
    made.object_lock_enabled = str(given.get("ObjectLockEnabled", "")).lower() == "true"
    retention = given.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    if retention:
        made.default_lock_mode = retention["Mode"]
        made.default_lock_days = int(retention.get("Days", 0))
        made.default_lock_years = int(retention.get("Years", 0))
    return made


moto_put_object = S3Response.put_object
one_at_a_time = threading.Lock()


def put_object(self: S3Response) -> Any:
    if not {"If-Match", "If-None-Match"} & set(self.headers.keys()):
        return moto_put_object(self)
    with one_at_a_time:
        return moto_put_object(self)


def get_bucket_versioning(self: S3Response) -> Any:
    status = self.backend.get_bucket_versioning(self.bucket_name)
    seeded = state("s3", self.current_account, "aws", "mfa_delete", list)
    self.data["Action"] = "GetBucketVersioning"
    protected = "Enabled" if self.bucket_name in seeded else None
    return self.serialized(ActionResult({"Status": status, "MFADelete": protected}))


def owner_of(bucket: str) -> str | None:
    """The account that has a bucket of this name."""
    found = s3_backends.bucket_accounts.get(bucket)
    return str(found[1]) if found else None


def policy_of(bucket: str) -> str | None:
    """A bucket's policy."""
    owner = owner_of(bucket)
    found = s3_backends[owner]["aws"].buckets[bucket].policy if owner else None
    return found.decode() if isinstance(found, bytes) else found


@resource("AWS::S3::BucketPolicy")
def create_bucket_policy(account: str, _region: str, given: dict[str, Any]) -> str:
    policy = json.dumps(given["PolicyDocument"]).encode()
    s3_backends[account]["aws"].put_bucket_policy(given["Bucket"], policy)
    return str(given["Bucket"])


def install() -> None:
    S3Response.put_object = put_object
    S3Response.get_bucket_versioning = get_bucket_versioning
    FakeBucket.create_from_cloudformation_json = classmethod(create_bucket)
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL
