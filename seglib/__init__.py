"""Run semantic segmentation models on image folders, store the masks, and query and evaluate the results.

    import seglib
    table = seglib.open("output").table()                     # pandas: one row per image and run
    table = seglib.select(table, seglib.Filters.decode("label=cats&share.cat=0.1..1"))
    seglib.open("output").overlay("cats/chelsea.png")         # displays in a notebook

Importing seglib imports neither torch nor pandas: public names are resolved on first access, so that worker processes
start quickly.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglib.adapters.lookup import find_model, load_model
    from seglib.data.resize import Resize
    from seglib.errors import SegError
    from seglib.evaluation.comparison import Comparison, compare
    from seglib.evaluation.evaluation import Evaluation, evaluate
    from seglib.models.registry import MODELS, ModelSpec
    from seglib.pipeline.predict import predict
    from seglib.pipeline.report import RunReport
    from seglib.pipeline.run import run
    from seglib.pipeline.session import RunOptions
    from seglib.progress import ProgressBar
    from seglib.query.filters import Filters, select
    from seglib.query.statistics import class_distribution, co_occurrence, folder_vs_animal, folder_vs_content
    from seglib.store.own_columns.adding import ColumnsReport, add_columns
    from seglib.store.store import Store
    from seglib.training.config import TrainConfig
    from seglib.training.train import TrainReport, train

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "ColumnsReport",
    "Comparison",
    "Evaluation",
    "Filters",
    "ModelSpec",
    "ProgressBar",
    "Resize",
    "RunOptions",
    "RunReport",
    "SegError",
    "Store",
    "TrainConfig",
    "TrainReport",
    "add_columns",
    "class_distribution",
    "co_occurrence",
    "compare",
    "evaluate",
    "find_model",
    "folder_vs_animal",
    "folder_vs_content",
    "load_model",
    "open",
    "predict",
    "run",
    "select",
    "train",
]

_MODULES = {
    **dict.fromkeys(("MODELS", "ModelSpec"), "models.registry"),
    **dict.fromkeys(("Filters", "select"), "query.filters"),
    **dict.fromkeys(
        ("class_distribution", "co_occurrence", "folder_vs_animal", "folder_vs_content"), "query.statistics"
    ),
    "ProgressBar": "progress",
    "RunOptions": "pipeline.session",
    "RunReport": "pipeline.report",
    **dict.fromkeys(("find_model", "load_model"), "adapters.lookup"),
    **dict.fromkeys(("ColumnsReport", "add_columns"), "store.own_columns.adding"),
    "run": "pipeline.run",
    "predict": "pipeline.predict",
    **dict.fromkeys(("Comparison", "compare"), "evaluation.comparison"),
    **dict.fromkeys(("Evaluation", "evaluate"), "evaluation.evaluation"),
    "Resize": "data.resize",
    "SegError": "errors",
    "Store": "store.store",
    "TrainConfig": "training.config",
    **dict.fromkeys(("TrainReport", "train"), "training.train"),
}


def open(path: str | os.PathLike[str] = "output") -> "Store":
    """Open a store.

    Args:
        path: The store's folder, as given to `run` or `python -m seglib run --store`.

    Returns:
        The store: `table` is its pandas frame, `runs` lists what was run, `overlay` draws an image under its mask.

    Raises:
        StoreError: There is no store at this path, it is damaged, or a newer version made it.

    Example:
        table = seglib.open("output").table()
    """
    from seglib.store.store import Store

    return Store(path)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'seglib' has no attribute {name!r}")
    return getattr(import_module(f"seglib.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
