"""Measures what the server computes for each page of a synthetic store, without a browser: seconds, CPU, memory.

    python benchmarks/synthetic.py STORE --rows 10000000
    python -m seglib prepare --store STORE
    python benchmarks/large_runs.py STORE

Each line is one script run of a page as a visitor's click causes it; every filter is one that nobody has asked for
before. Streamlit's own test driver runs the script in this process.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # where `dashboard` is the package, not the benchmark beside this one

from dashboard.settings import ServerSettings  # noqa: E402

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
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
