"""Where to compute: `ray`, or `ray://HOST:PORT`, as `--on` names it."""

import re

from seglib.errors import UsageError, shorten

_PATTERN = re.compile(r"ray(?:://(?P<address>(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})))?")


def parse_address(text: str) -> str | None:
    """`ray://HOST:PORT` -> `HOST:PORT`, the address of a cluster's head; `ray` -> None, for the one that Ray finds.

    Raises `UsageError`.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) < 2**16):
        raise UsageError(
            "`on` is ray, or ray://HOST:PORT with the address of a cluster's head, such as ray://10.0.0.5:6379, "
            f"not {shorten(text)!r}."
        )
    return match["address"]
