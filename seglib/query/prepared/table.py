"""Read a run's prepared table with DuckDB, under a memory limit.

    table = open_table(store, "fcn_mobilenet_v2-224-6362fed2")
    table.key_figures(Filters.decode("label=cats&share.cat=0.1.."))

Needs the extra `large`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seglib.errors import StoreError
from seglib.query.columns import split_tags
from seglib.query.fields import Kind, field_values, find_field
from seglib.query.filters import Filters, filters_condition
from seglib.query.prepared.manifest import Manifest, read_manifest
from seglib.query.prepared.pieces import read_head, to_frame, to_series
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import EVERY_ROW, Condition
from seglib.query.statistics import CLASS_COLUMNS
from seglib.store import tags
from seglib.store.schemas import find_files_of_images
from seglib.store.store import Store

MEMORY_LIMIT = "768MB"
"""What DuckDB may hold; beyond it, it writes to the store's cache."""

MISSING_EXTRA = "A run of this many photos needs the package duckdb: pip install '.[large]' in the project's folder."


class PreparedTable:
    """A run's rows, sorted by dataset and path, numbered from 0; the answers to what pages ask of them.

    Safe for threads: each query has a cursor of its own.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        if find_spec("duckdb") is None:
            raise StoreError(MISSING_EXTRA)
        import duckdb

        self.store, self.manifest, self.rows = store, manifest, manifest.rows
        self._files = pieces = [manifest.folder / piece.name for piece in manifest.pieces]
        head = read_head([pq.read_schema(piece) for piece in pieces])
        spill = store.path / "cache" / "spilled"
        self._connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
        for setting in ("enable_progress_bar", "python_enable_replacements"):
            self._connection.execute(f"set {setting} = false")
        self._load_tags()
        self.columns = SqlColumns(head.assign(tags=tags.align_tags(self._tags, pd.Series([], dtype="str"))))
        self._starts = np.cumsum([0, *(piece.rows for piece in manifest.pieces)])
        self._pieces = [f"read_parquet({_quote(str(piece))}, file_row_number = true)" for piece in pieces]
        every = [self._numbered(number) for number in range(len(pieces))]
        self._connection.execute(f"create view photos as {' union all '.join(every)}")
        repeats = _quote(str(manifest.folder / manifest.repeats))
        self._connection.execute(f"create table repeats as select * from read_parquet({repeats})")
        shared = "select image from repeats group by image having count(distinct in_dataset) > 1"
        self._connection.execute(f"create table shared as select * from repeats where image in ({shared})")
        self.has_shared = self.query("select count(*) from shared")[0][0] > 0
        repeated = self.query_arrow("select row, image from repeats order by row")
        self._repeated_images = pd.Series(repeated["image"].to_numpy(), repeated["row"].to_numpy())

    def _load_tags(self) -> None:
        self._tags = tags.tags_by_image(self.store)
        tagged = pa.table(
            {
                "image_id": pa.array(self._tags.index, pa.string()),
                "tags": pa.array(self._tags.astype("str"), pa.string()),
            }
        )
        self._connection.register("tagged", tagged)
        self._connection.execute("create table tags as select * from tagged")
        self._connection.unregister("tagged")

    @property
    def head(self) -> pd.DataFrame:
        """The table with tags and without rows: its columns, and the names of its categories."""
        return self.columns.head

    # --- queries -------------------------------------------------------------------------------------------------

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._errors_as_sentences():
            rows: list[tuple[Any, ...]] = self._connection.cursor().execute(text, list(values)).fetchall()
        return rows

    def query_arrow(self, text: str, values: Sequence[Any] = (), given: pa.Table | None = None) -> pa.Table:
        """`given`: a table that the query calls `given`."""
        with self._errors_as_sentences():
            cursor = self._connection.cursor()
            if given is not None:
                cursor.register("given", given)
            return cursor.sql(text, params=list(values)).to_arrow_table()

    @contextlib.contextmanager
    def _errors_as_sentences(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException:
            raise StoreError(
                f"This needs more than the {MEMORY_LIMIT} that the prepared table may take: narrow the filters."
            ) from None
        except (duckdb.IOException, duckdb.InvalidInputException, OSError, pa.ArrowException) as error:
            if all(file.is_file() for file in self.manifest.files):
                raise StoreError(f"The prepared table cannot be read ({type(error).__name__}): {_REMEDY}.") from None
            raise StoreError("The prepared table was replaced by a newer one: reload the page.") from None

    def condition(self, filters: Filters) -> Condition:
        """The rows that pass the filters. Raises as `filters.select` does."""
        return filters_condition(filters, self.columns)

    def counted(self, filters: Filters) -> Condition:
        """The rows that figures count: each photo that several datasets hold in the first of them only."""
        passes = self.condition(filters)
        if not self.has_shared:
            return passes
        later = (
            "select row from (select row, in_dataset, min(in_dataset) over (partition by image) as first_dataset "
            f"from shared join photos using (row) where {passes.text}) where in_dataset > first_dataset"
        )
        return passes & Condition(f"(row not in ({later}))", passes.values)

    def count(self, filters: Filters) -> int:
        return self._count(self.condition(filters))

    def count_counted(self, filters: Filters) -> int:
        return self._count(self.counted(filters))

    def _count(self, where: Condition) -> int:
        if where == EVERY_ROW:
            return self.rows
        return int(self.query(f"select count(*) from photos where {where.text}", where.values)[0][0])

    def _numbered(self, piece: int) -> str:
        start = self._starts[piece]
        return f"select * exclude (file_row_number), {start} + file_row_number as row from {self._pieces[piece]}"

    # --- rows ----------------------------------------------------------------------------------------------------

    def rows_at(self, rows: NDArray[np.integer]) -> pd.DataFrame:
        """The rows with these numbers, in this order, with all columns of the table and their tags."""
        wanted = np.unique(rows)
        pieces = np.searchsorted(self._starts, wanted, side="right") - 1
        parts = []
        for piece in np.unique(pieces).tolist():
            inside = ", ".join(map(str, wanted[pieces == piece] - self._starts[piece]))
            parts.append(self.query_arrow(f"{self._numbered(piece)} where file_row_number in ({inside})"))
        found = pa.concat_tables(parts) if parts else self.query_arrow("select * from photos limit 0")
        frame = to_frame(found, self.head.drop(columns="tags")).set_index(found["row"].to_numpy())
        frame = frame.loc[rows].reset_index(drop=True)
        return frame.assign(tags=tags.align_tags(self._tags, frame["image_id"]))

    def sorted_rows(
        self, filters: Filters, sort: str, name: str = "", *, limit: int | None = None
    ) -> NDArray[np.int32]:
        """int32: the numbers of the rows that pass the filters, in the order of `statistics.sort_positions`.

        Only these are sorted, so that a page deep in a selection costs no more than the first: `rows_at` reads it.
        `sort`: a column, with `-` before it for the largest first; `name`: the class for `share` and `blobs`.
        """
        where, limited = self.condition(filters), "" if limit is None else f" limit {int(limit)}"
        if sort == "path" and limit is None:
            if where == EVERY_ROW:
                return np.arange(self.rows, dtype=np.int32)
            return np.sort(self._read_rows(f"select row from photos where {where.text}", where.values))
        order = self._order(sort, name)
        return self._read_rows(f"select row from photos where {where.text} order by {order}{limited}", where.values)

    def _read_rows(self, text: str, values: Sequence[Any]) -> NDArray[np.int32]:
        rows: NDArray[np.int32] = self.query_arrow(text, values)["row"].to_numpy().astype(np.int32)
        return rows

    def _order(self, sort: str, name: str) -> str:
        descending, column = sort.startswith("-"), sort.removeprefix("-")
        if sort == "path":
            return "row"
        field = f"{column}.{name}" if column in CLASS_COLUMNS else column
        value, direction = self.columns.value(field), "desc" if descending else "asc"
        is_text = find_field(self.head, field).kind in (Kind.CATEGORY, Kind.TEXT)
        keys = [f"lower({value})", value] if is_text else [self.columns.number(field)]
        return ", ".join([*(f"{key} {direction} nulls last" for key in keys), "row"])

    def unique_rows(self, filters: Filters, sort: str, name: str = "") -> NDArray[np.int32]:
        """The same, with only the first of identical files."""
        return self.without_repeats(self.sorted_rows(filters, sort, name))

    def first_unique_rows(self, filters: Filters, sort: str, name: str, number: int) -> NDArray[np.int32]:
        """The first `number` of them, without sorting the whole selection."""
        taken = number
        while True:
            rows = self.sorted_rows(filters, sort, name, limit=taken)
            unique = self.without_repeats(rows)
            if len(unique) >= number or len(rows) < taken:
                return unique[:number]
            taken *= 4

    def without_repeats(self, rows: NDArray[Any]) -> NDArray[Any]:
        """These rows with only the first of identical files."""
        image = self._repeated_images.reindex(rows)
        repeated = (image.notna() & image.duplicated()).to_numpy()
        return rows[~repeated] if repeated.any() else rows

    def rows_of_image(self, image_id: str) -> NDArray[np.int32]:
        """The numbers of the rows with this content."""
        found: list[tuple[int]] = []
        with self._errors_as_sentences():
            holding = set(find_files_of_images(self._files, [image_id], _read_piece_ids))
        for piece in (number for number, file in enumerate(self._files) if file in holding):
            found += self.query(f"select row from ({self._numbered(piece)}) where image_id = ?", [image_id])
        return np.sort(np.array([row for (row,) in found], np.int32))

    def image_ids(self, filters: Filters) -> pa.Array:
        """The images that pass the filters, in the order of the table."""
        where = self.condition(filters)
        return self.query_arrow(f"select image_id from photos where {where.text}", where.values)["image_id"]

    def rows_of_images(self, image_ids: pa.Array, filters: Filters | None = None) -> NDArray[np.int32]:
        """The numbers of the rows with any of these contents, of those that pass the filters, in order."""
        where = self.condition(filters or Filters())
        text = f"select row from photos where image_id in (select image_id from given) and {where.text} order by row"
        given = pa.table({"image_id": image_ids})
        rows: NDArray[np.int32] = self.query_arrow(text, where.values, given)["row"].to_numpy().astype(np.int32)
        return rows

    def values(self, filters: Filters, field: str) -> pd.Series:
        """The values of a field in the rows that figures count, with the dtype of the table, as `field_values`."""
        where, dtype = self.counted(filters), field_values(self.head, field).dtype
        text = f"select row, {self.columns.value(field)} as value from photos where {where.text}"
        found = self.query_arrow(text, where.values)
        if (np.diff(found["row"].to_numpy()) < 0).any():  # DuckDB keeps the order of files, but not of joins
            found = found.sort_by("row")
        return to_series(found["value"], dtype)

    def left_out(self, filters: Filters) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
        """(dataset and image_id of the selected rows of photos that several datasets hold, whether each is counted)."""
        passes, counted = self.condition(filters), self.counted(filters)
        text = (
            f"select dataset, image_id, ({counted.text}) as counted from photos "
            f"where row in (select row from shared) and {passes.text} order by row"
        )
        frame = self.query_arrow(text, counted.values + passes.values).to_pandas()
        return frame[["dataset", "image_id"]], frame["counted"].to_numpy(bool)

    # --- counts of values ----------------------------------------------------------------------------------------

    def count_names(self, filters: Filters, field: str) -> dict[str, int]:
        """Name of a category -> files that pass the filters, in the order of names; "" counts those without one."""
        where, value = self.condition(filters), self.columns.value(field)
        text = f"select {value}, count(*) from photos where {where.text} group by all"
        counts = dict.fromkeys(("", *self.columns.names(field)), 0)
        for name, n in self.query(text, where.values):
            counts["" if name is None else str(name)] += int(n)
        return counts

    def count_tags(self, filters: Filters) -> dict[str, int]:
        """Tag -> files that pass the filters; "" counts untagged ones."""
        where = self.condition(filters)
        text = f"select tags, count(*) from photos left join tags using (image_id) where {where.text} group by all"
        counts: dict[str, int] = {}
        for joined, n in self.query(text, where.values):
            for name in split_tags(joined) or [""]:
                counts[name] = counts.get(name, 0) + int(n)
        return dict(sorted(counts.items()))

    def count_options(self, key: str) -> dict[str, int]:
        """Value -> rows that have it, for a filter with choices: names sorted, or the classes present."""
        if key == "present":
            return self.count_present()
        return {name: n for name, n in self.count_names(Filters(), key).items() if n}

    def count_present(self) -> dict[str, int]:
        """Class -> rows in which it is present; classes in none are left out."""
        counts = [f"count(*) filter ({self.columns.present(name).text})" for name in self.columns.classes]
        row = self.query(f"select {', '.join(counts)} from photos")[0] if counts else ()
        return {name: int(n) for name, n in zip(self.columns.classes, row, strict=True) if n}

    def count_column(self, filters: Filters, field: str) -> dict[str, int]:
        """Value of an own column of names, or of true and false -> files that pass the filters; all values of the run,
        in their order. "" counts those without a value, if the run has any.
        """
        value, passes = self.columns.value(field), self.condition(filters)
        text = f"select {value}::varchar, count(*) filter ({passes.text}) from photos group by 1 order by 1 nulls last"
        return {("" if name is None else name): int(n) for name, n in self.query(text, passes.values)}

    def has_multiples(self, field: str, unit: int) -> bool:
        """Whether all values of a field are multiples of the unit; dates are microseconds since 1970."""
        return not self.query(f"select count(*) from photos where {self.columns.number(field)} % {unit} <> 0")[0][0]

    def value_range(self, field: str) -> tuple[float, float] | None:
        """The smallest and the largest value of a field of numbers or dates; None without values."""
        value = self.columns.number(field)
        low, high = self.query(f"select min({value}), max({value}) from photos")[0]
        return None if low is None else (low, high)


_REMEDY = "delete the folder cache/tables of the store and run `seglib prepare` again"


def open_table(store: Store, run: str) -> PreparedTable | None:
    """The prepared table of a run; None if there is none yet. Raises `StoreError` if the extra `large` is missing."""
    manifest = read_manifest(store, run)
    return None if manifest is None else PreparedTable(store, manifest)


def _read_piece_ids(piece: Path) -> pa.ChunkedArray:
    return pq.read_table(piece, columns=["image_id"])["image_id"]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
