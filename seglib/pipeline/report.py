"""What a run says when it has ended, and what a notebook asks of it."""

import html
from dataclasses import dataclass, field

import pandas as pd

from seglib.data.left_out import LeftOut
from seglib.query.filters import Filters, select
from seglib.query.gallery import Gallery, gallery
from seglib.store.store import Store


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Result of one invocation, in files of this scan: `images == computed + reused + failed`."""

    run: str
    model: str
    images: int
    computed: int
    reused: int
    failed: int
    seconds: float
    """Time from first decode to last committed part, excluding worker startup and model loading."""
    images_per_second: float
    """computed / seconds; 0 if nothing was computed."""
    device: str | None = None
    """None if no model was needed."""
    precision: str = "fp32"
    vanished: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    """Files of other kinds and links in the folder that the scan left out."""
    store: Store = field(repr=False, compare=False)
    """Where the results are."""

    def table(self, where: Filters | str = "") -> pd.DataFrame:
        """One row per photo of the run (`Store.table`), or only those that match a filter, as for `seglib.select`."""
        frame = self.store.table([self.run])
        return select(frame, where) if where else frame

    def gallery(self, where: Filters | str = "", *, limit: int = 24) -> Gallery:
        """The photos of the run under their masks, or only those that match a filter; displays in a notebook."""
        return gallery(self.store, self.store.run(self.run), where, limit=limit)

    def _repr_html_(self) -> str:
        counts = f"{self.images:,} photos: {self.computed:,} computed, {self.reused:,} reused, {self.failed:,} failed"
        return f"<p><b>{html.escape(self.run)}</b><br>{counts}</p>"
