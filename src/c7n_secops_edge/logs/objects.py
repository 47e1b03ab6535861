"""Log files in S3: which were delivered within the lookback, and what they weigh."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from c7n_secops.aws import calls
from c7n_secops_edge.logs.files import PIECE, LogFile
from c7n_secops_edge.logs.places import Place


def delivered_files(client: Any, place: Place, since: datetime, until: datetime) -> list[LogFile]:
    """The files that were delivered between two times, by key. Raises RefusedError.

    Only the listing is read; a file is when it is opened.
    """
    prefixes = tuple(place.prefixes(since, until))
    last = prefixes[-1]
    found = {}
    for listing in place.listings(since, until):
        for page in calls.pages(client, "list_objects_v2", "Contents", 1000, **listing):
            for each in page:
                if since <= each["LastModified"] <= until and each["Key"].startswith(prefixes):
                    found[each["Key"]] = each["Size"]
            if page and page[-1]["Key"] > last and not page[-1]["Key"].startswith(last):
                break
    return [stored(client, place.bucket, key, size) for key, size in sorted(found.items())]


def stored(client: Any, bucket: str, key: str, size: int) -> LogFile:
    """One object as a log file."""

    def pieces() -> Iterator[bytes]:
        with calls.refusals("s3:GetObject"):
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            yield from body.iter_chunks(PIECE)

    return LogFile(f"s3://{bucket}/{key}", size, pieces)
