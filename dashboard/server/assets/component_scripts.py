"""Serve the scripts of the components, so that the browser loads each once.

Streamlit sends the script of a component with every element drawn with it. What is sent here is one line that imports
the script from this server. The URL contains a hash of the script, so browsers may cache it for ever.
"""

import gzip
import hashlib
import json
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.settings import with_base_path

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
_FOLDER = "/component-script/"

_scripts: dict[str, bytes] = {}
"""Address -> script, of every component that is registered."""


def register_script(name: str, script: str) -> str:
    """Serve the script of a component, and return its address."""
    body = script.encode()
    address = f"{_FOLDER}{name}-{hashlib.sha256(body).hexdigest()[:16]}.js"
    _scripts[address] = body
    return address


def import_statement(address: str) -> str:
    """Return the script that stands for the one at this address; its own URL is no base for a relative one."""
    return (
        f"const script = await import(location.origin + {json.dumps(with_base_path(address))});\n"
        "export default script.default;\n"
    )


def addresses(names: tuple[str, ...]) -> list[str]:
    """Return the addresses of these components' scripts, as far as they are registered."""
    return [address for address in _scripts if address.removeprefix(_FOLDER).rpartition("-")[0] in names]


@cache
def _compressed(address: str) -> bytes:
    return gzip.compress(_scripts[address], mtime=0)


def script(request: Request) -> Response:
    address = request.url.path
    if address not in _scripts:
        return Response("not found", 404, headers={"Cache-Control": "no-store"}, media_type="text/plain")
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = _compressed(address)
        return Response(body, headers={**_HEADERS, "Content-Encoding": "gzip"}, media_type="text/javascript")
    return Response(_scripts[address], headers=_HEADERS, media_type="text/javascript")


routes = [Route(f"{_FOLDER}{{rest:path}}", script, methods=["GET"])]
