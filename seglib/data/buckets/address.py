"""The address of photos on object storage, such as `s3://bucket/prefix`."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from seglib.errors import UsageError

SCHEMES = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(:/+)(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_EXPECTED = "write it as s3://bucket/prefix (or gs://, az://)"


@dataclass(frozen=True, order=True)
class Bucket:
    """All objects of a bucket (S3, Google) or container (Azure) whose keys begin with a prefix."""

    scheme: str
    """A key of `SCHEMES`."""
    bucket: str
    prefix: str
    """Without slashes at its ends; "" for the whole bucket."""

    @classmethod
    def parse(cls, text: str) -> "Bucket":
        """Raises `UsageError`, which repeats nothing of an address that may hold a secret."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise UsageError(f"This is no address of object storage: {_EXPECTED}.")
        scheme, slashes, rest = match[1].lower(), match[2], match[3]
        if any(sign in rest for sign in "@?#"):
            raise UsageError(
                "An address of object storage holds no credentials and no query, so none of @ ? #: "
                "credentials come from the environment, such as AWS_ACCESS_KEY_ID."
            )
        if scheme not in SCHEMES:
            raise UsageError(f"{scheme}:// is not supported: photos lie in a folder or on object storage; {_EXPECTED}.")
        if slashes != "://":
            raise UsageError(f"{text!r} does not have two slashes after {scheme}: {_EXPECTED}.")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.removesuffix("/")
        if _BUCKET.fullmatch(bucket) is None:
            raise UsageError(f"{text!r} names no bucket: {_EXPECTED}.")
        if not is_valid_key(prefix) and prefix:
            raise UsageError(f"The prefix of {text!r} has an empty part, . or .. or a control character: {_EXPECTED}.")
        return cls(scheme, bucket, prefix)

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def name(self) -> str:
        """Last part of the prefix, or the bucket's name."""
        return PurePosixPath(self.prefix).name or self.bucket

    def __str__(self) -> str:
        return self.address


def looks_like_address(text: str) -> bool:
    """Whether a text is meant as an address rather than as the path of a folder: `word://...`, or `s3:/...`.

    Not `C:/...`, which is a folder of Windows.
    """
    match = _ADDRESS.fullmatch(text)
    return match is not None and (len(match[2]) > 2 or match[1].lower() in SCHEMES)


def is_valid_key(key: str) -> bool:
    """Whether a key can be asked for: no empty part, no `.` or `..`, no control characters."""
    return all(part not in ("", ".", "..") for part in key.split("/")) and key.isprintable()
