"""What is written is read back as it was, whatever it is called: scans, stores, masks. Filters: test_query.py."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seglib.data.scan import scan
from seglib.fileio import parquet_parts
from seglib.masks import png
from seglib.store.schemas import FILES_SCHEMA
from seglib.store.store import Store

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: not name.startswith(".") and len(name.encode()) < 100
)
MASKS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))


@settings(max_examples=25)
@given(st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=6))
def test_a_scan_lists_each_photo_once_with_its_folder(names):
    with tempfile.TemporaryDirectory() as folder:
        for label, stem in names:
            (Path(folder) / label).mkdir(exist_ok=True)
            (Path(folder) / label / f"{stem}.jpg").write_bytes(b"x" * len(stem))
        records = scan(Path(folder))
        there = [f"{label}/{name}" for label in os.listdir(folder) for name in os.listdir(Path(folder) / label)]
        assert records["path"].tolist() == sorted(there)
        sizes = [(Path(folder) / path).stat().st_size for path in records["path"]]
        assert records["bytes"].tolist() == sizes


ROWS = st.lists(st.tuples(NAMES, st.integers(0, 2**40), st.integers(1, 9), st.one_of(st.none(), NAMES)), max_size=12)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(ROWS, max_size=4))
def test_a_store_gives_the_newest_row_of_each_path_back(written):
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        data_set = store.register_dataset(Path(folder))
        newest: dict[str, tuple[int, int, str | None]] = {}
        for rows in written:
            unique = {path: (size, scan, label) for path, size, scan, label in rows}
            table = pa.Table.from_pylist(
                [{"path": p, "bytes": b, "scan": s, "label": label} for p, (b, s, label) in unique.items()],
                FILES_SCHEMA,
            )
            parquet_parts.append(store.atomic, store.files_folder(data_set), table)
            for path, row in unique.items():
                if path not in newest or row[1] >= newest[path][1]:
                    newest[path] = row
        parquet_parts.merge(store.atomic, store.files_folder(data_set), FILES_SCHEMA, ["path", "scan"])
        found = store.files(data_set)
        assert dict(zip(found["path"], found["scan"], strict=True)) == {path: row[1] for path, row in newest.items()}
        assert found["path"].is_unique


@given(MASKS)
def test_a_mask_is_read_back_as_it_was_written(mask):
    assert (png.decode_index_png(png.encode_index_png(mask)) == mask).all()
