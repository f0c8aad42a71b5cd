"""The server's root, imported once: Streamlit's app and our own routes beside it.

`streamlit run dashboard/app.py` finds `app` by reading this file, so it must be assigned in just this form. Whatever
runs at each click of a visitor is in `main.py`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import RedirectResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from dashboard import assets, doors, media, plotlyjs, preload, startup  # noqa: E402


def to_home(request: Request) -> RedirectResponse:
    """The home page has no name in its address; who types it all the same is not told that there is no such page."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/{query}")


OWN_ROUTES = [*media.routes, *plotlyjs.routes]

app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[Route("/overview", to_home)],
    lifespan=startup.lifespan,
    middleware=[Middleware(doors.Doors, own=OWN_ROUTES), Middleware(assets.Assets), Middleware(preload.Preload)],
)
