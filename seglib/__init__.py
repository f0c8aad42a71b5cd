"""What did a segmentation network see in a folder of photos?

    import seglib
    table = seglib.open("output").table()                     # pandas: one row per photo and run
    table = seglib.select(table, seglib.Filters.decode("label=cats&share.cat=0.1..1"))
    seglib.open("output").overlay("cats/chelsea.png")         # a picture, in a notebook

The rooms, each importing only from those before it: errors, classes; boundary, dataset, metrics, nets, preprocess,
stats, overlay, parts; difference, models, truth; engine, workers; tags; filters, store; counts, plan, query, truths,
writer; batches, remake, upkeep; cost, export; compare, pipeline, predict; evaluate, imported; samples; arguments; cli.
Importing seglib imports neither torch nor pandas: names are looked up at their first use, so that worker processes
start fast.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglib.data.resize import Resize
    from seglib.errors import SegError
    from seglib.evaluation.comparison import Comparison
    from seglib.evaluation.evaluation import Evaluation
    from seglib.inference.config import Settings
    from seglib.inference.predictor import predict_batch, shown
    from seglib.models.registry import MODELS, ModelSpec
    from seglib.pipeline.run import run
    from seglib.pipeline.session import Options, Report
    from seglib.query.filters import Filters, select
    from seglib.query.statistics import class_distribution, co_occurrence, folder_against_animal
    from seglib.store.store import Store

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "Comparison",
    "Evaluation",
    "Filters",
    "ModelSpec",
    "Options",
    "Report",
    "Resize",
    "SegError",
    "Settings",
    "Store",
    "class_distribution",
    "co_occurrence",
    "folder_against_animal",
    "open",
    "predict_batch",
    "run",
    "select",
    "shown",
]

_ROOMS = {
    **dict.fromkeys(("MODELS", "ModelSpec"), "models.registry"),
    **dict.fromkeys(("Filters", "select"), "query.filters"),
    **dict.fromkeys(("class_distribution", "co_occurrence", "folder_against_animal"), "query.statistics"),
    **dict.fromkeys(("Options", "Report"), "pipeline.session"),
    "run": "pipeline.run",
    **dict.fromkeys(("predict_batch", "shown"), "inference.predictor"),
    "Settings": "inference.config",
    "Comparison": "evaluation.comparison",
    "Evaluation": "evaluation.evaluation",
    "Resize": "data.resize",
    "SegError": "errors",
    "Store": "store.store",
}


def open(path: str | os.PathLike[str] = "output") -> "Store":
    """The store at this path, for reading; raises `SegError` if there is none."""
    from seglib.store.store import Store

    return Store(path)


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'seglib' has no attribute {name!r}")
    return getattr(import_module(f"seglib.{_ROOMS[name]}"), name)
