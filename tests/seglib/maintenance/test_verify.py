"""What rots is named, and only that is computed again."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import seglib
from seglib.cli import main
from seglib.data.resize import Resize
from seglib.errors import DamagedFileError, StoreError
from seglib.evaluation import comparison, truth_counting
from seglib.fileio import parquet_parts
from seglib.maintenance import compact, prune, status, verify
from seglib.pipeline.session import RunOptions
from seglib.store import pair_counts
from seglib.store.store import Store
from tests.annotated import open_drawn

VERIFY = RunOptions(workers=0, verify=True)


@pytest.fixture
def store(paint, tmp_path, fake) -> Store:
    paint("cats/a.png", cat=(0, 0, 32, 48))
    paint("cats/b.png", cat=(0, 0, 8, 8))
    paint("dogs/c.png", dog=(0, 0, 64, 24))
    made = Store.create(tmp_path / "store")
    run(made, fake, tmp_path)
    return made


def run(store: Store, fake, tmp_path, options: RunOptions = VERIFY, **more):
    return seglib.run(tmp_path / "photos", store, fake, precision="fp32", options=options, **more)


def flip(path: Path) -> str:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    return path.name


def named(store: Store) -> list[tuple[str, str]]:
    return [(one.kind, Path(one.file).name) for one in verify.find_damaged_files(store)]


def test_a_whole_store_has_no_damage(store):
    assert named(store) == []


@pytest.mark.parametrize(
    ("pattern", "kind", "computed"),
    [
        ("runs/*/stats/part-*", "part", 3),
        ("runs/*/masks/*/*.png", "mask", 1),
        ("runs/*/embeddings/part-*", "part", 3),
        ("photo_measures/part-*", "part", 0),
        ("datasets/*/files/part-*", "part", 0),
        ("runs/*/run.json", "record", 0),
        ("datasets/*/dataset.json", "record", 0),
        ("datasets/*/scan.json", "record", 0),
    ],
)
def test_what_rots_is_named_and_only_that_is_computed_again(store, fake, tmp_path, pattern, kind, computed):
    expected = store.table()
    name = flip(next(iter(sorted(store.path.glob(pattern)))))
    assert named(store) == [(kind, name)]
    report = run(store, fake, tmp_path)
    assert (report.computed, report.failed) == (computed, 0)
    assert named(store) == []
    pd.testing.assert_frame_equal(store.table(), expected)


def test_what_is_removed_by_verify_is_told(store, fake, tmp_path):
    name = flip(next(store.path.glob("runs/*/stats/part-*")))
    told: list[str] = []
    run(store, fake, tmp_path, on_note=told.append)
    assert name in told[0]
    assert "recomputed" in told[0]


def test_a_missing_or_cut_thumbnail_comes_back_without_a_net(store, fake, tmp_path):
    one, other, _ = sorted(store.path.glob("thumbs/*/*"))
    whole = one.read_bytes(), other.read_bytes()
    one.unlink()
    other.write_bytes(whole[1][:-30])
    assert named(store) == [("thumbnail", one.name), ("thumbnail", other.name)]
    assert run(store, fake, tmp_path).computed == 0
    assert (one.read_bytes(), other.read_bytes()) == whole


def test_a_mask_with_the_right_counts_in_the_wrong_places_is_damaged(store):
    """Decoding alone does not compare the checksums of a PNG."""
    path = next(store.path.glob("runs/*/masks/*/*.png"))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"IEND") - 8  # the checksum of the chunk before
    data[end] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="`verify`"):
        store.mask(store.run().run, path.stem)
    assert named(store) == [("mask", path.name)]


def test_damage_of_pictures_that_no_file_has_is_not_looked_at(store, fake, tmp_path):
    gone = store.table().set_index("path").loc["cats/a.png", "image_id"]
    (tmp_path / "photos" / "cats" / "a.png").unlink()
    run(store, fake, tmp_path, RunOptions(workers=0))
    flip(store.mask_path(store.run().run, gone))
    store.thumbnail_path(gone).unlink()
    assert named(store) == []


def test_a_damaged_record_hides_nothing_else(store, fake, tmp_path):
    expected = store.table()
    other = run(store, fake, tmp_path, RunOptions(workers=0), resize=Resize("32x32")).run
    flip(store.path / "runs" / other / "run.json")
    assert [one.run for one in store.runs()] == [expected["run"][0]]
    assert list(store.damaged_runs()) == [other]
    pd.testing.assert_frame_equal(store.table([expected["run"][0]]), expected)
    with pytest.raises(DamagedFileError, match="`verify`"):
        store.table()  # all of them, which cannot be had
    with pytest.raises(DamagedFileError, match="`verify`"):
        run(store, fake, tmp_path, RunOptions(workers=0), resize=Resize("32x32"))
    assert run(store, fake, tmp_path, RunOptions(workers=0)).reused == 3


def test_a_data_set_whose_record_is_damaged_goes_by_its_id_until_its_folder_is_run(store, fake, tmp_path):
    expected = store.table()
    (data_set,) = store.datasets()
    (store.path / "datasets" / data_set.id / "dataset.json").write_text("{")
    assert store.table()["dataset"].unique().tolist() == [data_set.id]
    assert list(store.damaged_datasets()) == [data_set.id]
    with pytest.raises(StoreError, match="can no longer be read"):
        store.image(data_set.id, "cats/a.png")
    run(store, fake, tmp_path, RunOptions(workers=0))
    pd.testing.assert_frame_equal(store.table(), expected)


def test_nothing_is_pruned_while_it_cannot_be_told_what_belongs_to_whom(store):
    thumbs = sorted(store.path.glob("thumbs/*/*"))
    flip(next(store.path.glob("runs/*/run.json")))
    with pytest.raises(StoreError, match="damaged"):
        prune.prune(store)
    assert sorted(store.path.glob("thumbs/*/*")) == thumbs


def test_a_damaged_part_keeps_no_other_folder_from_being_merged(store, fake, tmp_path, monkeypatch):
    other = run(store, fake, tmp_path, RunOptions(workers=0), resize=Resize("32x32"))
    first, second = (store.path / "runs" / one.run / "stats" for one in store.runs())
    assert other.run in second.parts
    for folder in (first, second):
        (part,) = folder.iterdir()
        (folder / "part-1-00000000.parquet").write_bytes(part.read_bytes())
    (first / "part-1-00000000.parquet").write_bytes(b"PAR1")
    compact.merge_parts(store)
    assert [len(list(folder.iterdir())) for folder in (first, second)] == [2, 1]


def test_a_comparison_whose_counts_rot_is_counted_again(store, fake, tmp_path):
    run(store, fake, tmp_path, RunOptions(workers=0), resize=Resize("32x32"))
    names = [one.run for one in store.runs()]
    comparison.update_counts(store, names)
    flip(next(store.path.glob("compare/*/part-*")))
    assert [kind for kind, _ in named(store)] == ["part"]
    run(store, fake, tmp_path)
    assert comparison.update_counts(store, names).computed == 3
    assert named(store) == []


def test_what_a_killed_comparison_left_apart_is_merged_by_the_next(store, fake, tmp_path, monkeypatch):
    run(store, fake, tmp_path, RunOptions(workers=0), resize=Resize("32x32"))
    names = [one.run for one in store.runs()]
    with monkeypatch.context() as patched:
        patched.setattr("seglib.store.pair_counts.COMMIT_IMAGES", 1)
        patched.setattr("seglib.evaluation.comparison.try_merge_parts", lambda _: None)  # killed just before
        comparison.update_counts(store, names)
    assert len(list(store.path.glob("compare/*/part-*"))) == 3
    assert comparison.update_counts(store, names).computed == 0
    assert len(list(store.path.glob("compare/*/part-*"))) == 1


def test_what_is_appended_while_rows_are_removed_stays(store, monkeypatch):
    """A part that came between reading and deleting is not one of those that are deleted."""
    (data_set,) = store.datasets()
    folder = store.files_folder(data_set)
    real = prune._present_files

    def meanwhile(rows):
        rows_of_others = rows.slice(0, 1)
        row = {**rows_of_others.to_pylist()[0], "path": "late.png"}
        parquet_parts.append(store.atomic, folder, type(rows_of_others).from_pylist([row], rows.schema))
        return real(rows).slice(1)

    prune._rewrite_parts(store, folder, status.FILES_SCHEMA, meanwhile)
    assert "late.png" in set(store.files(data_set)["path"])


def test_the_command_names_damage_and_ends_with_1(store, capsys):
    arguments = ["status", "--verify", "--store", str(store.path)]
    assert main.main(arguments) == 0
    assert capsys.readouterr().out == "nothing is damaged\n"
    name = flip(next(store.path.glob("runs/*/masks/*/*.png")))
    flip(next(store.path.glob("runs/*/run.json")))
    assert main.main([*arguments, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["damaged"]
    assert (found["kind"], found["file"][-8:]) == ("record", "run.json")
    next(store.path.glob("runs/*/run.json")).unlink()
    assert name
    assert main.main(["status", "--store", str(store.path)]) == 0


def test_a_damaged_store_json_says_how_to_mend_it(store):
    for content in ("", '{"schema": 0}', '{"schema": "1"}', "[]"):
        (store.path / "store.json").write_text(content)
        with pytest.raises(DamagedFileError, match=re.escape('write {"schema": 2} into it')):
            Store(store.path)


def test_boundary_counts_that_rot_are_counted_again(store, fake, tmp_path, paint):
    masks, names = tmp_path / "masks", [store.run().run]
    for path in (tmp_path / "photos").glob("*/*.png"):
        target = masks / path.relative_to(tmp_path / "photos")
        target.parent.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (64, 48), 0)
        mask.paste(1, (0, 0, 9, 9))
        mask.save(target)
    truth_counting.update_counts(store, open_drawn(masks, classes=tuple(fake.classes)), names)
    (folder,) = store.path.glob("evaluate/*/boundary")
    schema = pair_counts.BOUNDARY_SCHEMA
    expected = parquet_parts.read(folder, schema).to_pandas().sort_values(["image_id", "class"], ignore_index=True)
    flip(next(folder.iterdir()))
    assert [one.kind for one in verify.find_damaged_files(store)] == ["part"]
    run(store, fake, tmp_path)
    assert truth_counting.update_counts(store, open_drawn(masks, classes=tuple(fake.classes)), names).computed == 3
    found = parquet_parts.read(folder, schema).to_pandas().sort_values(["image_id", "class"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
