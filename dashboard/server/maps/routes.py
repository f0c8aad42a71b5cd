"""HTTP routes of the map.

    GET /media-api/map/<key>.bin            coordinates (uint16 x, y of each point) or codes (uint8), little-endian
    GET /media-api/map/<key>/<number>.json  the photo of a point: id, name, value, photo, aspect
    GET /media-api/map/<key>.csv            all points with their photos

A key is a digest of what was published (`published`). Anything else is a 404 without details.
"""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dashboard.server.maps import published
from dashboard.server.maps.published import MAP_PREFIX
from dashboard.server.responses import has_only_params, not_found_response

_KEY = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}


def point_bytes(request: Request) -> Response:
    key = request.path_params["key"]
    body = published.find_bytes(key) if _KEY.match(key) and has_only_params(request, set()) else None
    if body is None:
        return not_found_response()
    headers = _HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(body, media_type="application/octet-stream", headers=headers)


def point_details(request: Request) -> Response:
    table, number = _find_table(request), request.path_params["number"]
    if table is None or not _NUMBER.match(number) or int(number) >= len(table):
        return not_found_response()
    return JSONResponse(table.describe(int(number)), headers=_HEADERS | {"Cache-Control": "no-store"})


def point_table(request: Request) -> Response:
    table = _find_table(request)
    if table is None:
        return not_found_response()
    return StreamingResponse(table.csv(), media_type="text/csv", headers=_HEADERS | {"Cache-Control": "no-store"})


def _find_table(request: Request) -> published.PointTable | None:
    key = request.path_params["key"]
    return published.find_table(key) if _KEY.match(key) and has_only_params(request, set()) else None


routes = [
    Route(f"{MAP_PREFIX}/{{key}}.bin", point_bytes, methods=["GET"]),
    Route(f"{MAP_PREFIX}/{{key}}.csv", point_table, methods=["GET"]),
    Route(f"{MAP_PREFIX}/{{key}}/{{number}}.json", point_details, methods=["GET"]),
]
"""To be listed before those of `media_routes`, which answer all other paths below their prefix."""
