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
WITHOUT_STREAMLIT = ("charts", "offers", "report", "server", "state", "workers")
"""Packages that do not need Streamlit, but for the modules below."""

NEEDS_STREAMLIT = {"server/assets/streamlit_assets.py", "state/session.py"}
PROGRAMS = {"job_worker", "predict_worker"}
"""Processes of their own: no other module may import them, and only they may run a model."""


def name_of(path: Path) -> str:
    return path.relative_to(DASHBOARD).as_posix()


def test_no_module_can_load_torch():
    faults = {}
    for path in MODULES:
        forbidden = ["torch", "torchvision", *(f"dashboard.workers.{one}" for one in PROGRAMS)]
        if path.stem not in PROGRAMS:  # seglib.models.registry knows weights without torch
            forbidden += ["seglib.pipeline.run", "seglib.pipeline.session", "seglib.pipeline.predict", "seglib.cli"]
        faults[name_of(path)] = [name for name in list_imports(path) if name.startswith(tuple(forbidden))]
    assert len(faults) > 50
    assert {name: found for name, found in faults.items() if found} == {}


def test_streamlit_is_imported_only_where_pages_are_drawn():
    packages = (*WITHOUT_STREAMLIT, "formatting.py", "settings.py")
    paths = [path for path in MODULES if name_of(path).split("/")[0] in packages]
    importing = {
        name_of(path)
        for path in paths
        if any(name.split(".")[0] == "streamlit" for name in list_imports(path, top_only=True))
    }
    assert {name_of(path).split("/")[0] for path in paths} == set(packages)
    assert importing - NEEDS_STREAMLIT == set()


def test_plotly_stays_in_charts_and_streamlits_caches_in_queries():
    faults = {"plotly": set(), "cache_": set(), "unsafe_allow_html": set(), "unsafe_allow_javascript": set()}
    for path in MODULES:
        package, text = name_of(path).split("/")[0], path.read_text()
        if package != "charts" and any(name.startswith("plotly") for name in list_imports(path)):
            faults["plotly"].add(name_of(path))
        if package != "queries" and "cache_" in text.replace("_cache_", "").replace("CACHE_", ""):
            faults["cache_"].add(name_of(path))
        for unsafe in ("unsafe_allow_html", "unsafe_allow_javascript"):
            if unsafe in text:
                faults[unsafe].add(name_of(path))
    assert not any(faults.values()), faults


@pytest.mark.slow
def test_the_pages_load_no_torch():
    code = (
        "import dashboard.views.explore, dashboard.views.image.page, dashboard.views.overview, dashboard.views.runs\n"
        "import dashboard.views.try_page.page, dashboard.views.compare.page, dashboard.views.evaluate.page, sys\n"
        "import dashboard.workers.jobs, dashboard.server.media_routes, dashboard.views.sidebar\n"
        "assert not {'torch', 'torchvision', 'duckdb'} & set(sys.modules)"
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
