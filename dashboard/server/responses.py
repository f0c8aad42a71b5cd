"""Responses of the media routes: cacheable images, opaque 404s, and plain-text messages.

`v` in the URL is the version of the image's source. A URL with an outdated version returns the current image, but not
as immutable. Recently rendered images are kept in memory.
"""

import hashlib
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from dashboard.server.cache import ByteCache

_VERSION = re.compile(r"[0-9a-f]{1,24}\Z")
_IMMUTABLE = "public, max-age=31536000, immutable"
_ERROR_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

memory_cache = ByteCache(32 * 1024 * 1024)


def picture_response(
    request: Request, key: tuple[str, ...], version: str, media_type: str, make: Callable[[], bytes]
) -> Response:
    """Return an image, or 304 if the browser has it. `key` identifies everything but the version that the bytes depend
    on.
    """
    key = (*key, version)
    etag = '"' + hashlib.sha256("|".join(key).encode()).hexdigest()[:24] + '"'
    fresh = request.query_params.get("v", version) == version
    headers = {
        "ETag": etag,
        "Cache-Control": _IMMUTABLE if fresh else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    body = memory_cache.get(key)
    if body is None:
        body = make()
        memory_cache.put(key, body)
    return Response(body, media_type=media_type, headers=headers)


def has_only_params(request: Request, allowed: set[str]) -> bool:
    """Return whether the query has only allowed parameters, none repeated, and a well-formed version."""
    keys = [key for key, _ in request.query_params.multi_items()]
    version = request.query_params.get("v")
    return set(keys) <= allowed and len(keys) == len(set(keys)) and (version is None or bool(_VERSION.match(version)))


def not_found_response() -> Response:
    return Response("not found", 404, headers=_ERROR_HEADERS, media_type="text/plain")


def text_response(sentence: str, status: int) -> Response:
    return Response(sentence, status, headers=_ERROR_HEADERS, media_type="text/plain")
