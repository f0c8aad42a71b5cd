"""What a training shows of itself: a table with a row per epoch, and its picture.

In: the confusion counts of a validation, rows of numbers. Out: `<out>.csv`, `<out>.png` (matplotlib, extra `train`).
Knows nothing of nets or photos.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from seglib.errors import UsageError
from seglib.metrics.confusion import Counts
from seglib.metrics.measures import accuracy

Row = Mapping[str, float | None]


def validated(counts: Counts) -> dict[str, float | None]:
    """Each measure over all pixels and, with `_mean`, over the photos where it is defined; a trained class that no
    validation photo holds is None.
    """
    found: dict[str, float | None] = {}
    for name, measure in accuracy(counts).items():
        found[name] = measure.overall()
        if ":" not in name:
            found[f"{name}_mean"] = measure.mean()[0]
    return found


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    os.replace(temporary, path)


def check_plot() -> None:
    """Raises `UsageError` if there is nothing to draw with: before training, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--plot draws with matplotlib, which is not here: pip install '.[train]'.") from None


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Loss on the left; mIoU, Dice and pixel accuracy of the validation photos on the right; one point per epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, quality = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    loss.plot(epochs, [row["loss"] for row in rows], marker=".")
    loss.set(title="Training loss", xlabel="epoch")
    for name, label in (("miou", "mIoU"), ("mdice", "Dice, mean of classes"), ("pixel_accuracy", "pixel accuracy")):
        quality.plot(epochs, [row[name] for row in rows], marker=".", label=label)
    quality.set(title="Validation photos, over all pixels", xlabel="epoch", ylim=(0, 1))
    quality.legend()
    figure.savefig(path, dpi=120)
