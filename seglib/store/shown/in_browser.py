"""What `Store` offers besides its data: its dashboard, and the photos that are picked there (`ShownInBrowser`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from seglib.errors import UsageError
from seglib.store.shown.server import Dashboard, open_in_browser

if TYPE_CHECKING:
    from seglib.store.records import Dataset

_COLUMNS = ["dataset", "path", "label", "image_id"]

_started: dict[Path, Dashboard] = {}
"""The dashboards of this program, by the stores that they show."""


class _Files(Protocol):
    """What `selection` needs of a store."""

    @property
    def path(self) -> Path: ...

    def datasets(self) -> "list[Dataset]": ...

    def present_files(self, datasets: "Sequence[Dataset]") -> pa.Table: ...


class ShownInBrowser:
    """Mixin of `Store`."""

    path: Path

    def show(self, port: int | None = None, *, open_browser: bool = True) -> Dashboard:
        """Start the dashboard of this store, on this machine only, and open it in the browser.

        It ends with this program, or with `stop`. A second call shows the same dashboard again.

        Args:
            port: Port to listen on; by default one that is free, or that of the dashboard which is shown already.
            open_browser: Whether to open a window; without a display none is opened.

        Returns:
            The dashboard, which has an `address`.

        Raises:
            UsageError: The dashboard of this store is shown already, on another port.
            SegError: The dashboard is not installed, or cannot start.

        Example:
            dashboard = seglib.open("output").show()
            print(dashboard.address)
        """
        key = self.path.resolve()
        shown = _started.get(key)
        if shown is None or not shown.is_running:
            shown = _started[key] = Dashboard(key, port)
            shown.wait()
        elif port not in (None, shown.port):
            raise UsageError(f"This store is shown at {shown.address} already: call its stop() first.")
        if open_browser:
            open_in_browser(shown.address)
        return shown

    def selection(self: _Files) -> pd.DataFrame:
        """The photos that are picked in the dashboard of `show`, in the order in which they were picked.

        Returns:
            One row per file: dataset, path, label, image_id. A photo with two files has two rows.

        Raises:
            UsageError: This program has not called `show` for this store.

        Example:
            picked = store.selection()
            table = store.table().merge(picked[["dataset", "path"]])
        """
        shown = _started.get(self.path.resolve())
        if shown is None:
            raise UsageError("No dashboard of this store was started here: call show(), and pick photos in it.")
        ids = shown.picked_ids()
        files = self.present_files(self.datasets()).select(_COLUMNS)
        rank = pc.index_in(files["image_id"].cast(pa.string()), value_set=ids)
        files = files.append_column("rank", rank).filter(pc.is_valid(rank)).sort_by("rank")
        picked: pd.DataFrame = files.drop_columns(["rank"]).to_pandas()
        return picked
