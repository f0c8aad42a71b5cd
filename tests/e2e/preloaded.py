"""What a server imports and finds out before it reads its arguments; done by the process that servers are forked from.

No thread is started and no setting read. Pages are imported by each server, since their caches need a runtime.
"""

import importlib
from functools import lru_cache

from streamlit.components.v2 import manifest_scanner

MODULES = (
    *("dashboard.__main__", "dashboard.app", "seglib.maintenance.status", "seglib.query.export"),
    *("pandas", "pyarrow.dataset", "pyarrow.parquet", "scipy.ndimage", "plotly.graph_objs._figure"),
    *("streamlit.web.cli", "streamlit.web.bootstrap", "streamlit.web.server.starlette.starlette_agent_routes"),
    *("uvicorn.main", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "anyio._backends._asyncio"),
)
for name in MODULES:
    importlib.import_module(name)

manifest_scanner.scan_component_manifests = lru_cache(manifest_scanner.scan_component_manifests)
manifest_scanner.scan_component_manifests()  # reads what every installed package says of itself
