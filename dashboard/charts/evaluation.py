"""Charts of an evaluation: data frames from `dashboard.queries.evaluation_stats` in, plotly figures out."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import tables
from dashboard.charts.theme import ACCENT, DIAGONAL, GRID, make_figure, points

HEIGHT = 300
_MAX_MARK_PX = 26
"""Largest diameter of a bin's mark in pixels."""


def reliability(curve: pd.DataFrame, unit: str) -> go.Figure:
    """Plot accuracy against confidence: one mark per bin, its size growing with n, and the diagonal of perfect
    calibration.
    """
    filled_bins = curve[curve["n"] > 0]
    size = 7 + (_MAX_MARK_PX - 7) * np.sqrt(filled_bins["n"] / filled_bins["n"].max())
    bins = points(
        x=filled_bins["confidence"].tolist(),
        y=filled_bins["accuracy"].tolist(),
        mode="lines+markers",
        line={"color": ACCENT, "width": 1.5},
        marker={"size": size.tolist(), "color": ACCENT, "opacity": 0.85, "line": {"width": 0}},
        customdata=[[int(n), low, high] for n, low, high in filled_bins[["n", "low", "high"]].itertuples(index=False)],
        hovertemplate="confidence %{x:.1%}, accuracy %{y:.1%}<br>bin %{customdata[1]:.2f} to %{customdata[2]:.2f}, "
        f"n = %{{customdata[0]:,}} {'pixels' if unit == 'pixels' else 'photos'}<extra></extra>",
    )
    confidence, accuracy = (
        {
            "title": {"text": title, "standoff": 10},
            "range": [-0.02, 1.05],
            "tickformat": ".0%",
            "dtick": 0.2,
            "gridcolor": GRID,
        }
        for title in ("confidence", "accuracy")
    )
    table = tables.reliability(filled_bins, "pixels" if unit == "pixels" else "photos")
    return make_figure([DIAGONAL, bins], HEIGHT, top=8, bottom=44, table=table, xaxis=confidence, yaxis=accuracy)
