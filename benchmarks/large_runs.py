"""Measures what the server computes for each page of a synthetic store, without a browser: seconds, CPU, memory.

    python benchmarks/synthetic.py STORE --rows 10000000
    python -m seglib prepare --store STORE
    python benchmarks/large_runs.py STORE
    python benchmarks/large_runs.py STORE --check

Each line is one script run of a page as a visitor's click causes it; every filter is one that nobody has asked for
before. Streamlit's own test driver runs the script in this process. `--check` measures nothing: it compares the figures
of the prepared table with those that pandas computes of the run in memory.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from pandas.testing import assert_frame_equal
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # where `dashboard` is the package, not the benchmark beside this one

from dashboard.settings import ServerSettings  # noqa: E402
from seglib.query.columns import classes_of  # noqa: E402
from seglib.query.figures.frame import FrameFigures  # noqa: E402
from seglib.query.filters import Filters, select  # noqa: E402
from seglib.query.prepared.building import prepare  # noqa: E402
from seglib.query.prepared.figures import PreparedFigures  # noqa: E402
from seglib.query.prepared.table import open_table  # noqa: E402
from seglib.store.store import Store  # noqa: E402

STEPS: list[tuple[str, str, dict[str, str]]] = [
    ("first visit, Overview", "Overview", {}),
    ("Explore", "Explore", {}),
    ("filter", "Explore", {"share.cat": "0.101..0.9"}),
    ("another filter", "Explore", {"label": "dogs", "confidence": "0.5.."}),
    ("expression", "Explore", {"where": "share.cat > 12% or label = dogs and width < 900"}),
    ("text in the path", "Explore", {"path": "000123"}),
    ("sorted by share", "Explore", {"sort": "-share", "class": "cat"}),
    ("page 20,000 of it", "Explore", {"sort": "-share", "class": "cat", "page": "20000"}),
    ("charts of classes", "Explore", {"charts": "classes", "share.cat": "0.102..0.9"}),
    ("charts of certainty", "Explore", {"charts": "certainty", "share.cat": "0.103..0.9"}),
    ("own chart", "Explore", {"charts": "own", "chart-x": "confidence", "chart-colour": "label"}),
    ("filtered Overview", "Overview", {"share.cat": "0.104..0.9"}),
    ("Image", "Image", {}),
    ("Image of a filter", "Image", {"share.cat": "0.105..0.9", "sort": "confidence"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--run", help="default: the one used most recently")
    parser.add_argument("--check", action="store_true", help="compare the figures with those of the run in memory")
    arguments = parser.parse_args()
    if arguments.check:
        check(Store(arguments.store), arguments.run)
        return
    os.environ |= ServerSettings(store=arguments.store, photo_folders=(arguments.store / "none",)).to_environment()
    for title, page, query in STEPS:
        app = AppTest.from_file(str(ROOT / "dashboard" / "router.py"), default_timeout=600)
        for key, text in (query | ({"run": arguments.run} if arguments.run else {})).items():
            app.query_params[key] = text
        if page != "Overview":
            app.session_state["_target"] = page
        started, cpu = time.perf_counter(), time.process_time()
        app.run()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        problem = "".join(f"  {one.value}" for one in (*app.error, *app.exception))
        print(f"{title:24} {seconds:7.2f} s {cpu:7.2f} s of CPU  peak {peak:6.0f} MB{problem}", flush=True)


CHECKED_FILTERS = ("", "label=cats&share.cat=0.1..1", "where=share.cat%20%3E%2030%25%20or%20label%20=%20dogs")
CHECKED_FIGURES: list[tuple[str, tuple]] = [
    ("class_distribution", ()),
    ("co_occurrence", ()),
    ("folder_vs_content", ()),
    ("share_by_label", ()),
    ("share_spread_by_label", ("cat",)),
    ("histogram", ("confidence", 50)),
    ("histogram", ("share.cat", 10)),
    ("density", ("confidence", "share.cat")),
    ("image_sizes", ()),
    ("blob_counts", (["cat"],)),
]
TOLERANCE = 1e-9


def check(store: Store, name: str | None) -> None:
    """Every figure of both ways is equal to 1e-9. Raises `AssertionError`."""
    run = store.run(name)
    prepare(store, run)
    prepared, frame = open_table(store, run.run), store.table([run.run])
    assert prepared is not None, "the store changed meanwhile"
    for query in CHECKED_FILTERS:
        filters = Filters.decode(query)
        rows = select(frame, filters)
        asked = PreparedFigures(prepared, filters)
        computed = FrameFigures(classes_of(frame), lambda names, rows=rows: rows[[n for n in names if n in rows]])
        found, expected = asked.key_figures(), computed.key_figures()
        assert (found.photos, found.agreeing, found.claiming) == (expected.photos, expected.agreeing, expected.claiming)
        assert abs(found.mean_confidence - expected.mean_confidence) < TOLERANCE
        assert abs(found.mean_foreground_share - expected.mean_foreground_share) < TOLERANCE
        for figure, arguments in CHECKED_FIGURES:
            assert_frame_equal(
                getattr(asked, figure)(*arguments),
                getattr(computed, figure)(*arguments),
                rtol=TOLERANCE,
                atol=1e-12,
                check_dtype=False,
                check_index_type=False,
                check_column_type=False,
                check_names=False,
            )
        print(f"{found.photos:>12,} photos  {len(CHECKED_FIGURES)} figures equal  {query or 'no filter'}", flush=True)


if __name__ == "__main__":
    main()
