"""Tables of the evaluations of several runs: figures, images, confusion matrices, slices."""

from collections.abc import Sequence

import pandas as pd

from seglib.evaluation.evaluation import Evaluation
from seglib.evaluation.slices.figures import to_frame
from seglib.metrics import bootstrap


def summarize(evaluations: Sequence[Evaluation], seed: int = 0) -> pd.DataFrame:
    """One row per run (`label` null) and per run and folder label: images and every figure
    (`bootstrap.flatten_estimates`).
    """
    rows = []
    for evaluation in evaluations:
        for label, part in ((None, evaluation), *evaluation.by_label()):
            row = {"run": evaluation.run.run, "truth": evaluation.truth.name, "label": label, "images": len(part.files)}
            rows.append(row | bootstrap.flatten_estimates(part.figures(seed), split_intervals=True))
    return pd.DataFrame(rows)


def all_images(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """`images` of all runs concatenated, with a leading column `run`."""
    frames = []
    for evaluation in evaluations:
        frame = evaluation.images()
        frame.insert(0, "run", evaluation.run.run)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def all_confusions(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Every cell with pixels: run, truth, prediction, pixels."""
    frames = []
    for evaluation in evaluations:
        cells = (
            evaluation.confusion()
            .rename_axis("truth")
            .melt(ignore_index=False, var_name="prediction", value_name="pixels")
        )
        cells = cells.reset_index().assign(run=evaluation.run.run)
        frames.append(cells.loc[cells["pixels"] > 0, ["run", "truth", "prediction", "pixels"]])
    return pd.concat(frames, ignore_index=True)


def all_slices(evaluations: Sequence[Evaluation], seed: int = 0) -> pd.DataFrame:
    """One row per run and slice, worst first: run, truth, and the columns of `SliceTable.records`."""
    return to_frame(({"run": one.run.run, "truth": one.truth.name}, one.slices(seed=seed)) for one in evaluations)
