import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seglib
from seglib.errors import StoreError, UsageError
from seglib.pipeline.session import RunOptions
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store import tags
from seglib.store.store import Store


@pytest.fixture
def store(paint, tmp_path, fake) -> Store:
    paint("cats/a.png", cat=(0, 0, 32, 48))
    paint("dogs/b.png", dog=(0, 0, 64, 24))
    paint("=1+2.png", "person")
    store = Store.create(tmp_path / "store")
    seglib.run(tmp_path / "photos", store, fake, precision="fp32", options=RunOptions(workers=0))
    return store


def test_shares_stand_beside_pixels_and_add_up(store):
    frame = export.stats_frame(store)
    names = [c for c in frame if c.startswith("share:")]
    assert len(names) == 4
    assert frame.columns.get_loc("share:background") == frame.columns.get_loc("px:person") + 1
    assert frame[names].sum(axis=1).tolist() == [1, 1, 1]
    assert frame.set_index("path").loc["cats/a.png", "share:cat"] == 0.5


def test_csv_and_parquet_hold_the_same(store):
    frame = export.stats_frame(store, filters=Filters.decode("label=cats&label=dogs"))
    from_csv = pd.read_csv(io.BytesIO(export.csv_bytes(frame)))
    from_parquet = pd.read_parquet(io.BytesIO(export.parquet_bytes(frame)))
    assert from_csv.columns.tolist() == from_parquet.columns.tolist() == frame.columns.tolist()
    assert from_csv["path"].tolist() == from_parquet["path"].tolist() == ["cats/a.png", "dogs/b.png"]
    assert from_csv["px:cat"].tolist() == from_parquet["px:cat"].tolist()
    assert np.allclose(from_csv["confidence"], from_parquet["confidence"], atol=1e-7)


def test_a_spreadsheet_does_not_run_a_file_name(store):
    frame = export.stats_frame(store)
    assert b",'=1+2.png," in export.csv_bytes(frame)
    assert "=1+2.png" in pd.read_parquet(io.BytesIO(export.parquet_bytes(frame)))["path"].tolist()


def test_tags_leave_as_a_column_and_choose_the_rows(store):
    ids = store.table().set_index("path")["image_id"]
    tags.tag(store, [ids["cats/a.png"], ids["=1+2.png"]], '=look, "here"')
    tags.tag(store, [ids["cats/a.png"]], "keep")
    frame = export.stats_frame(store, filters=Filters.decode("tag=keep&tag="))
    assert frame["path"].tolist() == ["cats/a.png", "dogs/b.png"]
    from_csv = pd.read_csv(io.BytesIO(export.csv_bytes(frame)), keep_default_na=False)
    assert from_csv["tags"].tolist() == ['\'=look, "here"|keep', ""]
    from_parquet = pd.read_parquet(io.BytesIO(export.parquet_bytes(frame)))
    assert from_parquet["tags"].astype("object").fillna("").tolist() == ['=look, "here"|keep', ""]
    every = export.stats_frame(store, filters=Filters.decode("tag=keep&tag=%3Dlook%2C%20%22here%22"))
    assert every["path"].tolist() == ["=1+2.png", "cats/a.png"]
    assert export.stats_frame(store, filters=Filters.decode("tag=unheard-of")).empty


def test_a_list_says_where_each_photo_is_and_whether_its_folder_says_the_same(store, paint, fake, tmp_path):
    paint('cats/wrong, "really".png', dog=(0, 0, 64, 12), cat=(0, 12, 64, 14))
    paint("dogs/nothing.png")
    seglib.run(tmp_path / "photos", store, fake, precision="fp32", options=RunOptions(workers=0))
    ids = store.table().set_index("path")["image_id"]
    tags.tag(store, [ids["cats/a.png"]], "keep")
    (run,) = store.runs()
    frame = export.list_frame(store, run.run)
    photos = tmp_path / "photos"
    expected = [  # path, folder, seen, share, agreement, tags
        ("=1+2.png", None, "person", 1.0, "folder names no class", None),
        ("cats/a.png", "cats", "cat", 0.5, "agree", "keep"),
        ('cats/wrong, "really".png', "cats", "dog", 0.25, "disagree", None),
        ("dogs/b.png", "dogs", "dog", 0.5, "agree", None),
        ("dogs/nothing.png", "dogs", "background only", None, "nothing seen", None),
    ]
    chosen = frame[["path", "folder", "seen", "share", "agreement", "tags"]].astype("object")
    assert list(chosen.where(chosen.notna(), None).itertuples(index=False, name=None)) == expected
    assert frame["full path"].tolist() == [str(photos / path) for path, *_ in expected]
    assert frame["dataset"].unique().tolist() == ["photos"]
    assert frame["confidence"].tolist() == pytest.approx(store.table()["confidence"].tolist())
    without = export.list_frame(store, run.run, Filters.decode("agreement=contradicts"), with_full_paths=False)
    assert without.columns.tolist() == [name for name in frame.columns if name != "full path"]
    assert without["path"].tolist() == ['cats/wrong, "really".png']
    picked = export.list_frame(store, run.run, image_ids=pd.Series([ids["dogs/b.png"]]))
    assert picked["path"].tolist() == ["dogs/b.png"]


def test_a_list_begins_with_a_mark_only_where_spreadsheets_need_one():
    plain, accented = (pd.DataFrame({"path": [name]}) for name in ("=a.png", 'bär, "1".png'))
    assert export.list_bytes(plain) == b"path\n'=a.png\n"
    assert export.list_bytes(accented) == '\ufeffpath\n"bär, ""1"".png"\n'.encode()


@pytest.mark.parametrize("name", ["cat", "=cat", "+1", "-1", "@x", 'a "b", c', "two\nlines", "bär", "", None])
def test_a_small_table_is_the_text_of_the_same_frame(name):
    columns = {"class": [name, "dog"], "share (0 to 1)": [0.1 + 0.2, float("nan")], "photos": [3, 12345]}
    frame = pd.DataFrame(columns)
    assert export.csv_text(columns).encode() == export.list_bytes(frame)


def test_names_that_are_not_utf8_leave_readable():
    assert export.csv_text({"path": ["a\udcff.jpg"]}) == "path\na\\udcff.jpg\n"


def test_an_empty_selection_is_a_header(store):
    data = export.csv_bytes(export.stats_frame(store, filters=Filters.decode("label=birds")))
    assert data.count(b"\n") == 1
    assert data.startswith(b"dataset,path,")


def test_every_column_is_explained(store):
    frame = export.stats_frame(store)
    words = export.dictionary_frame(frame)
    assert words["column"].tolist() == frame.columns.tolist()
    assert words["meaning"].str.endswith(".").all()
    assert "0.5%" in words.set_index("column").loc["blobs:cat", "meaning"]


def test_masks_leave_as_they_are_stored(store, tmp_path):
    count = export.write_folder(tmp_path / "out", export.mask_files(store, None, Filters.decode("label=cats")))
    assert count == 1
    run = store.runs()[0].run
    exported = tmp_path / "out" / run / "photos" / "cats" / "a.png.png"
    assert (
        exported.read_bytes()
        == store.mask_path(run, store.table().set_index("path").loc["cats/a.png", "image_id"]).read_bytes()
    )


def test_overlays_leave_in_a_zip_that_is_the_same_every_time(store, tmp_path):
    for name in ("one.zip", "two.zip"):
        files = export.overlay_files(store, None, Filters(), alpha=1.0, colours="okabe-ito")
        assert export.write_zip(tmp_path / name, files) == 3
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("cats/a.png.png"))
        with Image.open(io.BytesIO(archive.read(name))) as picture:
            assert picture.size == (64, 48)
            assert picture.getpixel((0, 0)) == (0x56, 0xB4, 0xE9)


def test_a_missing_mask_ends_the_export_and_leaves_no_half_zip(store, tmp_path):
    row = store.table().iloc[-1]
    store.mask_path(row["run"], row["image_id"]).unlink()
    with pytest.raises(StoreError, match="`verify`"):
        export.write_zip(tmp_path / "out.zip", export.mask_files(store, None, Filters()))
    assert not [p for p in tmp_path.iterdir() if "out.zip" in p.name]


def test_a_data_sets_name_does_not_lead_out_of_the_folder(store, tmp_path):
    store.register_dataset(tmp_path / "photos", "../../evil")
    names = [name for name, _ in export.mask_files(store, None, Filters())]
    assert all(".." not in name.split("/") for name in names)


def test_a_place_that_cannot_be_written_is_a_sentence(store, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        export.write_folder(tmp_path / "file", iter([]))
    with pytest.raises(StoreError, match="`out`"):
        export.write_file(tmp_path / "file" / "below.csv", b"")
