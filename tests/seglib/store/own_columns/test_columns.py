"""Own columns are joined by photo, replaced and undone exactly, and leave with every export."""

import io
import shutil

import pandas as pd
import pyarrow as pa
import pytest

import seglib
from seglib.errors import DamagedFileError, SegError, UnknownName, UsageError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.maintenance import datasets, prune, verify
from seglib.maintenance.status import read_status
from seglib.query.export import csv_bytes, dictionary_frame, list_frame, parquet_bytes, stats_frame
from seglib.store.own_columns import log, rewriting
from seglib.store.store import Store
from tests.seglib.store.own_columns.plain_store import PATHS, add, add_dataset, add_run, column, image_id, lines

# --- keys --------------------------------------------------------------------------------------------------------

KEYED = {
    "path": ("file,x\ncats/b.jpg,1\n", {}, "path"),
    "path from another machine": ("file,x\nD:\\photos\\2024\\cats\\b.jpg,1\nD:\\photos\\2024\\z.jpg,2\n", {}, "path"),
    "path below a folder": ("file,x\nphotos/cats/b.jpg,1\n", {}, "path"),
    "file name": ("file,x\nb.jpg,1\n", {}, "stem"),
    "stem": ("file,x\nb,1\n", {}, "stem"),
    "image_id": (f"file,x\n{image_id('cats/b.jpg').upper()},1\n", {}, "image_id"),
    "all three agree": (f"id,name,path,x\n{image_id('cats/b.jpg')},b,cats/b.jpg,1\n", {}, "path"),
    "one column is called so": ("stem,x\nb,1\n", {"key": "stem"}, "stem"),
    "the user decides between two": ("first,x\nb,1\n", {"key_column": "first"}, "stem"),
}


@pytest.mark.parametrize(("text", "options", "key"), KEYED.values(), ids=KEYED)
def test_photos_are_found_by_what_names_them(known, text, options, key):
    report = add(known, text, **options)
    assert report.key == key
    assert column(known, "x") == [None, 1, None, None]


def test_full_paths_are_paths(known, tmp_path):
    add(known, f"file,x\n{tmp_path / 'photos' / 'cats' / 'b.jpg'},1\n")
    assert column(known, "x") == [None, 1, None, None]


def test_the_usual_name_of_the_key_decides_between_two_columns(known):
    add(known, "name,other\na,b\nb,a\n")
    assert column(known, "other") == ["b", "a", None, None]


def test_a_name_in_two_datasets_is_refused_until_it_is_said_which(known, tmp_path):
    add_dataset(known, tmp_path / "more", ["cats/a.jpg", "cats/e.jpg"])
    with pytest.raises(UsageError, match=r"1 of the 2 rows fit several photos.* 'photos: cats/a.jpg' and|'more: cats"):
        add(known, "path,x\ncats/a.jpg,1\ncats/e.jpg,2\n")
    add(known, "path,dataset,x\ncats/a.jpg,more,1\ncats/a.jpg,photos,2\ncats/b.jpg,photos,3\n")
    table = known.table()
    found = {(d, p): x for d, p, x in table[["dataset", "path", "column:x"]].itertuples(index=False) if pd.notna(x)}
    assert found == {("more", "cats/a.jpg"): 1, ("photos", "cats/a.jpg"): 2, ("photos", "cats/b.jpg"): 3}
    add(known, "path,x\ncats/a.jpg,7\n", dataset="more")
    assert known.table(datasets=["more"])["column:x"].tolist()[0] == 7
    assert known.table(datasets=["photos"])["column:x"].tolist()[0] == 2


def test_a_path_that_begins_with_its_dataset_says_which_is_meant(known, tmp_path):
    add_dataset(known, tmp_path / "more", ["cats/a.jpg", "cats/e.jpg"])
    with pytest.raises(UsageError, match="write the dataset's name before each path, or name one `dataset`"):
        add(known, "path,x\ncats/a.jpg,1\n")
    report = add(known, "path,x\nmore/cats/a.jpg,1\nphotos/cats/a.jpg,2\nmore/cats/z.jpg,3\nphotos\\dogs\\c.jpg,4\n")
    assert (report.key, report.photos, report.unmatched) == ("path", 3, 1)
    table = known.table()
    assert table.loc[table["column:x"].notna(), ["dataset", "path", "column:x"]].to_numpy().tolist() == [
        ["more", "cats/a.jpg", 1],
        ["photos", "cats/a.jpg", 2],
        ["photos", "dogs/c.jpg", 4],
    ]


def test_the_path_of_a_photo_goes_before_one_that_begins_with_a_dataset(known, tmp_path):
    """The folder of one dataset lies in that of another: both know the file by a path."""
    add_dataset(known, tmp_path / "photos" / "cats", ["a.jpg", "n.jpg"])
    report = add(known, "path,x\ncats/a.jpg,1\ncats/n.jpg,2\n")
    assert (report.photos, report.unmatched) == (2, 0)
    assert known.table(datasets=["photos"])["column:x"].tolist()[0] == 1


def test_a_stem_that_two_photos_have_is_refused(store, tmp_path):
    add_dataset(store, tmp_path / "photos", ["cats/a.jpg", "dogs/a.png"])
    with pytest.raises(UsageError, match=r"1 of the 1 rows fit several photos each, e\.g\. 'a' fits 'cats/a.jpg' and"):
        add(store, "stem,x\na,1\n")


def test_the_same_photo_twice_with_equal_values_counts_once(known):
    report = add(known, "path,x\ncats/a.jpg,1\ncats/a.jpg,1\n./cats/b.jpg,\ncats/b.jpg,\n")
    assert (report.rows, report.photos) == (4, 2)


def test_a_wrong_key_says_which_fits(known):
    with pytest.raises(UsageError, match="as file name they fit 2 photos: say `key` stem"):
        add(known, "path,x\na,1\nb,2\n", key="path")


def test_a_store_without_photos_refuses(store):
    with pytest.raises(UsageError, match="no photo that columns could belong to"):
        add(store, "path,x\na,1\n")


# --- the table, later additions, undo ----------------------------------------------------------------------------


def test_a_later_file_replaces_for_the_photos_that_it_names_and_undo_brings_back(known):
    add(known, lines("1", "2", "3"))
    add(known, "stem,x,y\nb,20,new\nc,,\nd,40,\n")
    assert column(known, "x") == [1, 20, None, 40]
    assert column(known, "y") == [None, "new", None, None]
    assert log.undo(known).names == ("x", "y")
    assert column(known, "x") == [1, 2, 3, None]
    assert "column:y" not in known.table()
    assert log.undo(known).kind == "add"
    assert log.undo(known) is None
    assert "column:x" not in known.table()


def test_an_own_column_stands_in_place_of_what_the_photos_say_themselves_and_that_is_said(known):
    report = add(known, "path,camera\ncats/a.jpg,Leica\n")
    assert report.notes == ("In place of what the photos say themselves (EXIF): camera.",)
    assert column(known, "camera") == ["Leica", None, None, None]
    with pytest.raises(UsageError, match="'brightness' is measured from the photos themselves"):
        add(known, "path,brightness\ncats/a.jpg,1\n")


def test_a_removal_is_undone_too_and_each_action_changes_the_version(known):
    versions = [known.version(with_tags=False)]
    for act in (lambda: add(known, lines("1")), lambda: log.remove(known, ["x"]), lambda: log.undo(known)):
        act()
        versions.append(known.version(with_tags=False))
    assert len(set(versions)) == 4
    assert column(known, "x") == [1, None, None, None]
    with pytest.raises(UnknownName, match="no own column 'z'; known are: x"):
        log.remove(known, ["x", "z"])


def test_whole_numbers_may_become_numbers_and_categories_text_but_nothing_else_changes(known):
    add(known, "path,x,k\ncats/a.jpg,1,u\n")
    add(known, "path,x,k\ncats/b.jpg,1.5,2024\n")
    assert (column(known, "x"), column(known, "k")) == ([1.0, 1.5, None, None], ["u", "2024", None, None])
    assert [one.type for one in log.list_columns(known)] == ["number", "category"]
    with pytest.raises(
        UsageError, match="store's column 'x' holds numbers, which 'abc' in row 2 of the column 'x' does"
    ):
        add(known, "path,x\ncats/b.jpg,abc\n")
    add(known, "path,x\ncats/a.jpg,\n")
    assert column(known, "x") == [None, 1.5, None, None]


def test_values_by_content_and_by_path_replace_each_other_in_the_order_of_time(known):
    add(known, lines("1", "2"))
    add(known, f"image_id,x\n{image_id('cats/b.jpg')},20\n{image_id('dogs/c.jpg')},30\n")
    add(known, "path,x\ndogs/c.jpg,300\n")
    assert column(known, "x") == [1, 20, 300, None]
    prune.prune(known)
    assert column(known, "x") == [1, 20, 300, None]


def test_every_run_has_the_columns_and_its_rows_their_values(known):
    add_run(known, "fake-8-11111111", PATHS[1:3])
    add(known, lines("1", "2", "3", "4"))
    table = known.table()
    assert dict(zip(table["run"].astype("str") + table["path"], table["column:x"], strict=True)) == {
        **{f"fake-8-00000000{path}": n for n, path in enumerate(PATHS, 1)},
        **{"fake-8-11111111cats/b.jpg": 2, "fake-8-11111111dogs/c.jpg": 3},
    }
    assert list(table.columns[-2:]) == ["column:x", "tags"]
    assert known.table(["fake-8-11111111"])["column:x"].tolist() == [2, 3]


def test_a_store_without_own_columns_has_the_table_that_it_had(known):
    before = known.table()
    add(known, lines("1"))
    log.undo(known)
    pd.testing.assert_frame_equal(known.table(), before)


def test_filters_exports_and_the_dictionary_carry_them(known):
    add(known, "path,größe,wann,=f\ncats/a.jpg,1.5,2024-01-01,=1+1\ncats/b.jpg,2.5,2024-02-01,x\n")
    filters = seglib.Filters.decode("column.größe=2..3&column.wann=2024-02-01..2024-02-28")
    frame = stats_frame(known, filters=filters)
    assert frame["path"].tolist() == ["cats/b.jpg"]
    assert pd.read_parquet(io.BytesIO(parquet_bytes(frame)))["column:größe"].tolist() == [2.5]
    text = csv_bytes(stats_frame(known)).decode()
    assert "column:größe,column:wann,column:=f" in text
    assert ",1.5,2024-01-01,'=1+1" in text
    meanings = dictionary_frame(frame).set_index("column")["meaning"]
    assert "größe" in meanings["column:größe"]
    assert "column:größe" in list_frame(known, "fake-8-00000000")


def test_an_export_comes_back_as_it_left(known):
    add(known, "path,größe,wann,note\ncats/a.jpg,1.5,2024-01-01 10:00,=1+1\ncats/b.jpg,2.5,,x\n")
    before, data = known.table(), csv_bytes(stats_frame(known))
    log.undo(known)
    report = add(known, data)
    assert [one.name for one in report.columns] == ["größe", "wann", "note"]
    assert report.notes[0].startswith(
        "Left out, since the table has them already: dataset, split, label, width, height and"
    )
    pd.testing.assert_frame_equal(known.table(), before)


# --- care of the store -------------------------------------------------------------------------------------------


def test_status_counts_them_and_prune_keeps_only_what_is_in_effect(known):
    add(known, "path,x,y\ncats/a.jpg,1,u\ncats/b.jpg,2,v\n")
    add(known, "path,x\ncats/b.jpg,3\n")
    add(known, "path,z\ncats/b.jpg,3\n")
    log.undo(known)
    log.remove(known, ["y"])
    status = read_status(known)
    assert (status.columns.photos, status.columns.outdated_rows) == ({"x": 2}, 4)
    before = known.table()
    prune.prune(known)
    pd.testing.assert_frame_equal(known.table(), before)
    assert len(known.column_values_folders()) == 1
    assert read_status(known).columns.outdated_rows == 0
    prune.prune(known)
    assert log.undo(known) is None
    pd.testing.assert_frame_equal(known.table(), before)
    log.remove(known, ["x"])
    prune.prune(known)
    assert not known.column_values_folders()
    assert not list(known.columns_folder().glob("*.parquet"))


def test_a_damaged_or_missing_part_is_found_and_its_columns_can_be_removed(known):
    add(known, lines("1", "2"))
    (folder,) = known.column_values_folders()
    (part,) = folder.iterdir()
    part.write_bytes(part.read_bytes()[:-9] + b"x" * 9)
    assert [(one.file, one.kind) for one in verify.find_damaged_files(known) if one.kind == "part"] == [
        (part.relative_to(known.path).as_posix(), "part")
    ]
    with pytest.raises(DamagedFileError, match="remove its columns and add their file again"):
        known.table()
    part.unlink()
    with pytest.raises(DamagedFileError, match="values of the own column 'x' are gone"):
        known.table()
    log.remove(known, ["x"])
    assert "column:x" not in known.table()


def test_a_copied_store_has_them(known, tmp_path):
    add(known, lines("1", "2"))
    shutil.copytree(known.path, tmp_path / "copy")
    pd.testing.assert_frame_equal(Store(tmp_path / "copy").table(), known.table())


def test_a_forgotten_dataset_takes_its_values_along_when_the_store_is_pruned(known, tmp_path):
    add_dataset(known, tmp_path / "more", ["cats/e.jpg"])
    add(known, lines("1", "2") + "\ncats/e.jpg,5\n")
    datasets.forget_dataset(known, "more")
    assert column(known, "x") == [1, 2, None, None]
    prune.prune(known)
    keys = log.read_values(known, known.column_values_folders()[0].name, "path", ["x"])
    assert keys["path"].to_pylist() == ["cats/a.jpg", "cats/b.jpg"]


def test_two_datasets_that_become_one_keep_their_values(known, tmp_path):
    first = known.datasets()[0].id
    second = add_dataset(known, tmp_path / "more", ["cats/a.jpg", "cats/e.jpg"])
    add(known, "path,dataset,x\ncats/a.jpg,more,1\ncats/e.jpg,more,2\ncats/a.jpg,photos,3\n")
    with lock(known.path):
        rewriting.rename_dataset(known, second, first)
    values = log.read_values(known, known.column_values_folders()[0].name, "path", ["x"]).to_pydict()
    assert dict(zip(values["path"], values["column:x"], strict=True)) == {"cats/a.jpg": 3, "cats/e.jpg": 2}
    assert set(values["dataset_id"]) == {first}


def test_a_link_in_place_of_the_folder_is_refused(known, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    known.columns_folder().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SegError, match="is a link"):
        Store(known.path)


def test_a_log_that_was_changed_by_hand_leads_nowhere_else(known):
    entry = {"time": 1, "action": "../../..", "kind": "add", "name": "x", "type": "integer", "key": "path"}
    parquet_parts.append(
        known.atomic, known.columns_folder(),
        pa.Table.from_pylist([entry | {"photos": 1, "source": "", "undoes": None}], log.SCHEMA),
    )  # fmt: skip
    with pytest.raises(SegError, match="is no action on own columns"):
        known.table()
    parquet_parts.append(
        known.atomic,
        known.columns_folder(),
        pa.Table.from_pylist([entry | {"type": "image", "photos": 1, "source": "", "undoes": None}], log.SCHEMA),
    )
    with pytest.raises(DamagedFileError, match="a row of an unknown kind"):
        known.table()


def test_a_store_takes_two_hundred_columns(known):
    header = ",".join(f"c{n}" for n in range(250))
    text = f"path,{header}\ncats/a.jpg{',1' * 250}\n"
    with pytest.raises(UsageError, match="250 own columns, and a store has at most 200"):
        add(known, text)
    add(known, text, columns=tuple(f"c{n}" for n in range(200)))
    with pytest.raises(UsageError, match="201 own columns, with the 200 that the store has"):
        add(known, text, columns=("c249",))
    add(known, text, columns=("c0",))


def test_too_many_columns_are_counted_without_those_that_name_the_photos(known):
    names = ",".join(f"c{n}" for n in range(300))
    add(known, "path,weather\ncats/a.jpg,rain\n")
    dataset = known.datasets()[0].name
    for key, cells in (("path", "cats/a.jpg"), ("path,dataset", f"cats/a.jpg,{dataset}"), ("x,dataset", "a,b")):
        number = 302 if key == "x,dataset" else 301  # this one names no dataset of the store
        with pytest.raises(UsageError, match=f"be {number} own columns, with the 1 that the store has"):
            add(known, f"{key},{names}\n{cells}{',1' * 300}\n")
