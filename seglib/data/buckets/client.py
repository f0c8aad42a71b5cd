"""The connection to object storage by obstore, and what its errors mean in one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from seglib.data.buckets.address import SCHEMES, Bucket
from seglib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RETRIES = 4
_RETRY_SECONDS = 60

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")


@lru_cache(maxsize=64)
def connect(bucket: Bucket) -> "ObjectStore":
    """The objects below the prefix, with the credentials of this process's environment. Raises `UsageError` without
    obstore."""
    try:
        from obstore.store import from_url
    except ImportError:
        raise UsageError(
            "Photos on object storage need obstore, which is not installed: pip install '.[remote]' in the project's "
            "folder."
        ) from None
    with translated_errors(bucket):
        store: ObjectStore = from_url(
            quote(bucket.address, safe=":/"),  # which obstore decodes: a key may hold %20 itself
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
        )
        return store


@contextmanager
def translated_errors(bucket: Bucket) -> Iterator[None]:
    """Raise `DatasetError` with one sentence where obstore raises something of its own."""
    try:
        yield
    except Exception as error:
        if not _is_foreign(error):
            raise
        raise DatasetError(f"{bucket} cannot be read: {explain(error, bucket)}.") from None


def explain(error: Exception, bucket: Bucket) -> str:
    """What went wrong and what to do, without the request, its headers, or the server's whole answer."""
    text, kind, service = str(error), type(error).__name__, SCHEMES[bucket.scheme]
    code = match[1] if (match := _CODE.search(text)) else ""
    status = match[1] if (match := _STATUS.search(text)) else ""
    denied = kind in ("PermissionDeniedError", "UnauthenticatedError") or status in ("401", "403")
    reasons = {
        f"there is no bucket {bucket.bucket!r} at {service}": code in ("NoSuchBucket", "ContainerNotFound"),
        "its storage class is an archive: restore it first": code == "InvalidObjectState",
        "it is gone": isinstance(error, FileNotFoundError),
        "it has changed since it was listed: run again": kind == "PreconditionError",
        f"{service} denies access ({code or status or kind}): check the credentials in the environment": denied,
        "a key has an empty part, as in a//b, or a control character: rename it, or name the keys by a listing": (
            kind == "InvalidPathError" or isinstance(error, ValueError)
        ),
        f"{service} asks to slow down: try again later": code == "SlowDown" or status in ("429", "503"),
        f"{service} answers {code or 'with status ' + status}": bool(status),
        f"there are no credentials for {service} in the environment": any(
            word in text for word in ("169.254", "redential", "Account must be specified")
        ),
    }
    unreachable = f"{service} cannot be reached: check the network and the endpoint in the environment"
    return next((reason for reason, holds in reasons.items() if holds), unreachable)


def _is_foreign(error: Exception) -> bool:
    return type(error).__module__.startswith("obstore") or isinstance(error, (OSError, ValueError))
