"""Photos of a run under their masks, as a notebook shows them."""

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from seglib.classes import palette, unpainted_values
from seglib.errors import StoreError
from seglib.masks import overlay
from seglib.query.columns import iter_class_shares
from seglib.query.filters import Filters, select
from seglib.store.records import Run
from seglib.store.store import Store

_TILE = "margin:0;width:160px"
_SHEET = "display:flex;flex-wrap:wrap;gap:12px;font:13px/1.4 system-ui,sans-serif"
_CLASSES = 3
"""Classes named below a photo."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Some photos of a run, in the order of its table. In a notebook it displays the first of them."""

    store: Store
    run: Run
    table: pd.DataFrame
    """Rows of `Store.table`, one per photo."""
    limit: int
    """Number of photos that are displayed."""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<Gallery of {len(self)} photos of {self.run.run}>"

    def images(self) -> Iterator[tuple[str, Image.Image]]:
        """Yield (path, RGB thumbnail under its mask) of the photos that are displayed and whose picture is there."""
        paint, unpainted = palette("voc", self.run.classes), unpainted_values(self.run.classes)
        thumbnails = self.store.thumbnails()
        shown = self.table.head(self.limit)
        for path, image_id in zip(shown["path"], shown["image_id"], strict=True):
            try:
                with Image.open(io.BytesIO(thumbnails.read(image_id))) as opened:
                    photo = opened.convert("RGB")
                mask = self.store.mask(self.run.run, image_id)
            except (OSError, StoreError):
                continue
            yield path, overlay.draw_overlay(photo, mask, paint, unpainted=unpainted)

    def _repr_html_(self) -> str:
        shown = self.table.head(self.limit)
        seen = dict(zip(shown["path"], _name_classes(shown), strict=True))
        tiles = "".join(_draw_tile(path, picture, seen[path]) for path, picture in self.images())
        more = len(self) - len(shown)
        end = f"<p>and {more:,} more</p>" if more else ""
        title = f"{len(self):,} photos, {html.escape(self.run.run)}"
        return f"<div><p>{title}</p><div style='{_SHEET}'>{tiles}</div>{end}</div>"


def gallery(store: Store, run: Run, where: Filters | str = "", *, limit: int = 24) -> Gallery:
    """The photos of a run that match a filter, as for `select`; all by default.

    Raises `UnknownName` or `FilterError` if the filter does not fit the run.
    """
    table = store.table([run.run])
    return Gallery(store, run, select(table, where) if where else table, limit)


def _name_classes(table: pd.DataFrame) -> list[str]:
    """The largest classes of each row, without the background, with their shares: "cat 45 %, sofa 7 %"."""
    shares = pd.DataFrame({name: share for name, share in iter_class_shares(table) if name != "background"})
    found = []
    for _, row in shares.iterrows():
        largest = row[row >= 0.005].nlargest(_CLASSES)
        found.append(", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in largest.items()))
    return found


def _draw_tile(path: str, picture: Image.Image, seen: str) -> str:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    source = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    name, seen = html.escape(path), html.escape(seen or "nothing but background")
    return (
        f"<figure style='{_TILE}'><img src='{source}' alt='{name}' style='width:160px;height:120px;object-fit:cover'>"
        f"<figcaption style='overflow-wrap:anywhere'>{name}<br><small>{seen}</small></figcaption></figure>"
    )
