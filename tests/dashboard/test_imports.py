"""Which modules of the dashboard may use Streamlit, Plotly, torch and Streamlit's caches.

The order of the packages is a contract of import-linter, in `pyproject.toml`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, list_imports

DASHBOARD = ROOT / "dashboard"
MODULES = sorted(DASHBOARD.rglob("*.py"))
WITHOUT_STREAMLIT = ("charts", "report", "server", "state", "workers")
"""Packages that do not need Streamlit, but for the modules below."""

NEEDS_STREAMLIT = {"server/streamlit_assets.py", "state/session.py"}
PROGRAMS = {"job_worker", "predict_worker"}
"""Processes of their own: no other module may import them, and only they may run a model."""


def name_of(path: Path) -> str:
    return path.relative_to(DASHBOARD).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_can_load_torch(path):
    names = list_imports(path)
    assert not {name for name in names if name.split(".")[0] in ("torch", "torchvision")}
    assert not {name for name in names if name.startswith(tuple(f"dashboard.workers.{one}" for one in PROGRAMS))}
    if path.stem not in PROGRAMS:  # seglib.models.registry knows weights without torch
        running = ("seglib.pipeline.run", "seglib.pipeline.session", "seglib.pipeline.predict", "seglib.cli")
        assert not {name for name in names if name.startswith(running)}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if name_of(path).split("/")[0] in (*WITHOUT_STREAMLIT, "formatting.py", "settings.py")],
    ids=name_of,
)
def test_streamlit_is_imported_only_where_pages_are_drawn(path):
    if name_of(path) not in NEEDS_STREAMLIT:
        assert not {name for name in list_imports(path, top_only=True) if name.split(".")[0] == "streamlit"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_plotly_stays_in_charts_and_streamlits_caches_in_queries(path):
    package = name_of(path).split("/")[0]
    assert package == "charts" or not {name for name in list_imports(path) if name.startswith("plotly")}
    assert package == "queries" or "cache_" not in path.read_text().replace("_cache_", "").replace("CACHE_", "")
    assert "unsafe_allow_html" not in path.read_text()
    assert "unsafe_allow_javascript" not in path.read_text()


@pytest.mark.slow
def test_the_pages_load_no_torch():
    code = (
        "import dashboard.views.explore, dashboard.views.image, dashboard.views.overview, dashboard.views.runs, sys\n"
        "import dashboard.views.try_photo, dashboard.views.compare.page, dashboard.views.evaluate.page\n"
        "import dashboard.workers.jobs, dashboard.server.media_routes, dashboard.views.sidebar\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_scripts_never_write_html():
    scripts = sorted((DASHBOARD / "components").glob("*.js"))
    assert len(scripts) > 5
    for path in scripts:
        text = path.read_text()
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text
