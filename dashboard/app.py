"""The ASGI application: Streamlit's app, our own routes and the middleware; imported once.

`streamlit run dashboard/app.py` finds `app` by parsing this file, so the assignment must keep this form. The script
that runs on every interaction is `router.py`.
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

from dashboard import lifespan  # noqa: E402
from dashboard.components import plotlyjs  # noqa: E402
from dashboard.server import live_route, media_routes, streamlit_options  # noqa: E402
from dashboard.server.assets import component_scripts, streamlit_assets  # noqa: E402
from dashboard.server.maps.routes import routes as map_routes  # noqa: E402
from dashboard.server.middleware import host_guard, request_log  # noqa: E402


def redirect_home(request: Request) -> RedirectResponse:
    """Redirect `/overview` to the home page, which has no name of its own in the URL."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/{query}")


streamlit_options.apply()

OWN_ROUTES = [*map_routes, *media_routes.routes, *plotlyjs.routes, *component_scripts.routes, *live_route.routes]

app = st.App(
    Path(__file__).with_name("router.py"),
    routes=[Route("/overview", redirect_home)],
    lifespan=lifespan.lifespan,
    middleware=[
        Middleware(request_log.RequestLogMiddleware),
        Middleware(host_guard.HostGuardMiddleware, routes=OWN_ROUTES),
        Middleware(streamlit_assets.AssetMiddleware),
        Middleware(streamlit_assets.PreloadMiddleware),
    ],
)
