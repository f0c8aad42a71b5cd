"""`seglib export`: what is written where, and which options go together."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.cli import main
from seglib.masks.png import encode_index_png
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.seglib.small_runs import run


@pytest.fixture
def filled(photos, store, fake) -> Path:
    """A store with one run over four photos, cats/a.png to dogs/d.png."""
    run(photos, store, fake)
    return store.path


def export(capsys, store: Path, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main.main(["export", *(str(one) for one in arguments), "--store", str(store)])
    return code, *capsys.readouterr()


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_masks_leave_flat_at_the_photos_size(filled, capsys, tmp_path):
    out = tmp_path / "masks"
    code, said, _ = export(capsys, filled, "masks", "--size", "photo", "--flat", "--out", out)
    assert (code, said) == (0, f"4 pictures written to {out}\n")
    assert files_below(out) == ["a.png", "b.png", "c.png", "d.png"]
    with Image.open(out / "a.png") as mask:
        assert mask.size == (64, 48)


@pytest.mark.parametrize(
    ("what", "format", "names"),
    [
        ("coco", "json", ["annotations.json"]),
        ("yolo", "txt", ["data.yaml", "labels/cats/a.txt", "labels/cats/b.txt"]),
        (
            "cvat",
            "png",
            [
                "ImageSets/Segmentation/default.txt",
                "SegmentationClass/cats/a.png",
                "SegmentationClass/cats/b.png",
                "labelmap.txt",
            ],
        ),
    ],
)
def test_annotations_leave_as_files_and_in_a_zip(filled, capsys, tmp_path, what, format, names):
    where = ("--where", "label=cats", "--json")
    code, said, _ = export(capsys, filled, what, *where, "--out", tmp_path / "out")
    assert (code, json.loads(said)) == (
        0,
        {"what": what, "format": format, "count": 2, "out": str(tmp_path / "out")},
    )
    assert files_below(tmp_path / "out") == names
    for name in ("one.zip", "two.zip"):
        assert export(capsys, filled, what, *where, "--format", "zip", "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == names
        assert archive.read(names[0]) == (tmp_path / "out" / names[0]).read_bytes()


def test_coco_leaves_as_one_file_of_one_run(filled, photos, fake, capsys, tmp_path):
    out = tmp_path / "cats.json"
    assert export(capsys, filled, "coco", "--out", out)[1] == f"4 photos written to {out}\n"
    assert len(json.loads(out.read_text())["images"]) == 4
    shapes = [one["segmentation"] for one in json.loads(out.read_text())["annotations"]]
    assert all(isinstance(one["counts"], str) for one in shapes)
    export(capsys, filled, "coco", "--polygons", "--out", out)
    shapes = [one["segmentation"] for one in json.loads(out.read_text())["annotations"]]
    assert all(isinstance(number, int) for one in shapes for number in one[0])
    run(photos, Store(filled), fake, resize="32x32")
    code, said, error = export(capsys, filled, "coco", "--out", tmp_path / "both.json")
    assert (code, said) == (2, "")
    assert "One JSON file holds one run and one dataset, and 2 are chosen" in error
    assert not (tmp_path / "both.json").exists()
    assert export(capsys, filled, "coco", "--out", tmp_path / "both")[0] == 0
    assert len(list((tmp_path / "both").glob("fake-*/photos/annotations.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stats", "--flat"), "--flat is for masks"),
        (("overlays", "--size", "photo"), "--size is for masks"),
        (("coco", "--size", "photo"), "--size is for masks"),
        (("yolo", "--polygons"), "--polygons is for coco"),
        (("masks", "--dictionary"), "--dictionary is for stats"),
        (("coco", "--format", "csv"), "coco leave as json or zip, not as 'csv'"),
        (("yolo", "--where", "label=birds"), "nothing to export"),
    ],
)
def test_options_that_do_not_go_together_are_refused(filled, capsys, tmp_path, arguments, said):
    code, out, error = export(capsys, filled, *arguments, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("what", "old", "unrelated"),
    [
        (("masks", "--flat"), "z.png", "notes.txt"),
        (("yolo",), "labels/birds/z.txt", "labels/birds/z.png"),
        (("cvat",), "SegmentationClass/z.png", "photos/z.png"),
    ],
)
def test_older_files_in_the_folder_of_an_export_are_told(filled, capsys, tmp_path, what, old, unrelated):
    out = tmp_path / "out"
    assert export(capsys, filled, *what, "--out", out)[2] == ""
    assert export(capsys, filled, *what, "--out", out)[2] == ""  # writes the same files again
    for name in (old, unrelated):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"")
    said = export(capsys, filled, *what, "--out", out)[2]
    assert said.startswith(f"seglib: 1 other file was in 'out' already, e.g. {old!r}, and not part of this export")
    assert "name a new one with --out" in said
    assert (out / old).exists()


@pytest.mark.parametrize("what", ["coco", "yolo"])
def test_void_pixels_that_a_format_has_no_word_for_are_told(photos, store, capsys, tmp_path, what):
    mask = np.zeros((48, 64), np.uint8)
    mask[:12] = 255
    (tmp_path / "m").mkdir()
    for name, drawn in (("a", mask), ("b", np.ones_like(mask))):
        (tmp_path / "m" / f"{name}.png").write_bytes(encode_index_png(drawn))
    import_masks(store, open_drawn(tmp_path / "m", ("background", "cat")), "theirs", photos=photos)
    said = export(capsys, store.path, what, "--out", tmp_path / "out")[2]
    assert "12.5 % of the pixels of theirs-imported-" in said
    assert "belong to no class (void): they are not annotated" in said
    where = ("--where", "share.cat=0.5..1")
    assert export(capsys, store.path, what, *where, "--out", tmp_path / "b") == (
        0,
        f"1 photos written to {tmp_path / 'b'}\n",
        "",
    )
