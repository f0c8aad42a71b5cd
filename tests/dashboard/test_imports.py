"""The dashboard's rooms import only from their left; Streamlit stays here, torch stays out."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, imported

ORDER = [
    {"formats", "settings", "sockets", "plotlyjs"},
    {"doors", "preload", "assets"},
    {"state", "crossfilter", "picks", "predictor", "folders", "caches", "originals", "pictures"},
    {"answers", "requested", "report"},
    {"report_command"},
    {"predict_worker", "uncertainty", "jobs", "trials"},
    {"job_worker"},
    {"charts"},
    {"components", "pair_charts", "truth_charts", "ranking"},
    {"viewer"},
    {"comparisons", "evaluations"},
    {"session", "data", "media"},
    {"pair_data", "truth_data"},
    {"sidebar", "ui"},
    {"views"},
    {"main", "startup"},
    {"app"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
PURE = {"formats", "settings", "sockets", "state", "charts", "media", "predictor", "predict_worker", "__main__"}
PURE |= {"doors", "picks", "caches", "answers", "originals", "pictures", "uncertainty"}
PURE |= {"comparisons", "pair_charts", "folders", "requested", "jobs", "job_worker", "trials"}
PURE |= {"report_command", "evaluations", "truth_charts", "ranking"}
"""Rooms that know nothing of Streamlit (the launcher starts it, and only then)."""

WORKERS = {"predict_worker", "job_worker"}
"""Programs of their own: no other room may import them, and only they may run a network."""

ROOMS = sorted(p for p in (ROOT / "dashboard").glob("*.py") if p.stem not in ("__init__", "__main__"))
MODULES = sorted((ROOT / "dashboard").rglob("*.py"))


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.stem)
def test_a_room_imports_only_from_its_left(path):
    own = {name.split(".")[1] for name in imported(path) if name.startswith("dashboard.")}
    assert {room for room in own if LEVEL[room] >= LEVEL[path.stem]} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "dashboard" / "views").glob("*.py")), ids=lambda p: p.stem)
def test_views_import_no_later_room(path):
    own = {name.split(".")[1] for name in imported(path) if name.startswith("dashboard.")}
    assert not own & {"main", "app", "sidebar"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_no_room_can_bring_torch(path):
    names = imported(path)
    assert not {name for name in names if name.split(".")[0] in ("torch", "torchvision")}
    assert not {name for name in names if name.startswith(tuple(f"dashboard.{worker}" for worker in WORKERS))}
    if (
        path.stem not in WORKERS
    ):  # seglib.models.registry tells of weights without torch; the test of loaded pages watches it
        assert not {
            name
            for name in names
            if name.startswith(("seglib.pipeline.session", "seglib.pipeline.predict", "seglib.cli.main"))
        }


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem in PURE and p.parent.name == "dashboard"], ids=str)
def test_pure_rooms_know_no_streamlit(path):
    assert not {name for name in imported(path, top_only=True) if name.split(".")[0] == "streamlit"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_plotly_is_known_to_charts_only_and_caches_to_data_only(path):
    assert path.stem.endswith("charts") or not {name for name in imported(path) if name.startswith("plotly")}
    assert path.stem.endswith("data") or "cache_" not in path.read_text().replace("_cache_", "").replace("CACHE_", "")
    assert "unsafe_allow_html" not in path.read_text()
    assert "unsafe_allow_javascript" not in path.read_text()


@pytest.mark.slow
def test_the_pages_load_no_torch():
    code = (
        "import dashboard.views.explore, dashboard.views.image, dashboard.views.overview, dashboard.views.runs, sys\n"
        "import dashboard.views.try_, dashboard.views.compare, dashboard.views.evaluate\n"
        "import dashboard.jobs, dashboard.media, dashboard.sidebar\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_scripts_never_write_html():
    for path in (ROOT / "dashboard").glob("*.js"):
        text = path.read_text()
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text
