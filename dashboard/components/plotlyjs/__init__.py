"""Serve plotly.js in its "basic" distribution, the script that draws charts.

`plotly-basic.min.js` is the unmodified file of the npm package plotly.js-basic-dist-min 4.1.1 (MIT); it supports bars,
points and lines. The full plotly.js, which Streamlit would send, is four times as large and blocks the browser for a
second before the first chart is drawn. The URL contains a hash of the script, so browsers may cache it for ever.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FILE = Path(__file__).with_name("plotly-basic.min.js")
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


@cache
def address() -> str:
    """Return the URL path of the script; it changes with the script's content."""
    return f"/chart-script/{hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]}.js"


@cache
def _compressed() -> bytes:
    return gzip.compress(FILE.read_bytes(), mtime=0)


def script(request: Request) -> Response:
    if request.url.path != address():
        return Response("not found", 404, headers={"Cache-Control": "no-store"}, media_type="text/plain")
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_compressed(), headers={**_HEADERS, "Content-Encoding": "gzip"}, media_type="text/javascript")
    return Response(FILE.read_bytes(), headers=_HEADERS, media_type="text/javascript")


routes = [Route("/chart-script/{rest:path}", script, methods=["GET"])]
