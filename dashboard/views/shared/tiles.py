"""Build the gallery's tiles: their texts and image URLs.

Takes rows of one run's table and returns `GalleryTile`s, plain data.
"""

from collections.abc import Set
from typing import Any

import numpy as np
import pandas as pd

from dashboard.charts.theme import class_colours
from dashboard.components.gallery import GalleryTile
from dashboard.formatting import percent, score
from dashboard.server import media_urls
from seglib.classes import BACKGROUND, PRESENT_SHARE
from seglib.masks.overlay import alt_text
from seglib.query.columns import classes_of, iter_class_shares, label_agreement, split_tags
from seglib.store.store import Store

_TILE_COLUMNS = ["dataset", "path", "label", "width", "height", "image_id", "content", "confidence", "tags"]

CHANGED = "changed since its scan"


def make_tiles(
    rows: pd.DataFrame,
    store: Store,
    run: str,
    colours: str,
    *,
    link: str = "",
    similar: str = "",
    with_dataset: bool = False,
    changed: Set[tuple[str, str]] = frozenset(),
) -> list[GalleryTile]:
    """Return one tile per row.

    `colours`: the palette of masks and bars; `link`: URL of a photo's page, to which the image_id is appended;
    `similar`: the same for the page with similar photos; `changed`: (dataset, path) of files that have changed since
    their scan.
    """
    names = classes_of(rows)
    paint = class_colours(names, colours)
    records: list[dict[Any, Any]] = rows[_TILE_COLUMNS].astype("object").to_dict("records")
    shares = np.array([share for _, share in iter_class_shares(rows)]).reshape(len(names), len(rows))
    verdicts = label_agreement(rows).tolist()
    result = []
    for row, share, verdict in zip(records, shares.T.tolist(), verdicts, strict=True):
        classes = present_classes(dict(zip(names, share, strict=True)))
        warning = f"folder {row['label']}, model {row['content']}" if verdict == "contradicts" else ""
        result.append(
            GalleryTile(
                id=row["image_id"],
                href=f"{link}{row['image_id']}" if link else "",
                similar=f"{similar}{row['image_id']}" if similar else "",
                photo=media_urls.thumbnail_url(store, row["image_id"]),
                mask=media_urls.overlay_url(store, run, row["image_id"], colours),
                aspect=row["width"] / row["height"],
                name=f"{row['dataset']}: {row['path']}" if with_dataset else row["path"],
                alt=f"{row['path']}: {alt_text(dict(classes))}" + (f". Contradiction: {warning}" if warning else ""),
                found=classes[0][0] if classes else "background only",
                share=percent(classes[0][1]) if classes else "",
                aside=f"conf {score(row['confidence'])}",
                warning=warning,
                note=CHANGED if (row["dataset"], row["path"]) in changed else "",
                bar=[(name, round(part, 4), paint[name]) for name, part in classes],
                tags=split_tags(row["tags"]),
            )
        )
    return result


def present_classes(share: dict[str, float]) -> list[tuple[str, float]]:
    """Return (class, share) of the classes present, largest first, without background."""
    classes = [(name, part) for name, part in share.items() if name != BACKGROUND and part >= PRESENT_SHARE]
    return sorted(classes, key=lambda pair: -pair[1])
