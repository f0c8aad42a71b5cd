import os
from pathlib import Path

import pytest

from seglib.data import scan as scan_module
from seglib.data.left_out import LeftOut
from seglib.data.scan import describe_mask_folders, find_image_folders, scan, scan_folder, select_by_name
from seglib.errors import DatasetError


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def columns(root: Path, *wanted: str, **options) -> list[tuple]:
    return list(
        scan(root, **options)[list(wanted)].astype(object).where(lambda f: f.notna(), None).itertuples(False, None)
    )


def test_photos_are_listed_by_relative_path_in_order_with_size_and_time(tmp_path):
    make(tmp_path / "set", "b/2.PNG", "a/1.jpg", "note.txt", "a/.hidden.jpg", ".git/x.png")
    records = scan(tmp_path / "set")
    assert records["path"].tolist() == ["a/1.jpg", "b/2.PNG"]
    assert records["bytes"].tolist() == [1, 1]
    assert records["mtime_ns"].tolist() == [os.stat(tmp_path / "set" / p).st_mtime_ns for p in records["path"]]


@pytest.mark.parametrize(
    ("root", "file", "split", "label"),
    [
        ("set", "training_set/cats/1.jpg", "train", "cats"),
        ("set", "test_set/dogs/1.jpg", "test", "dogs"),
        ("set", "val/1.jpg", "val", None),  # a split is no label
        ("set", "train/test/cats/1.jpg", "test", "cats"),  # the nearest folder above counts
        ("test_set", "cats/1.jpg", "test", "cats"),  # the root's own name too
        ("set", "1.jpg", None, None),
        ("set", "a/b/1.jpg", None, "b"),
    ],
)
def test_split_and_label_come_from_the_folders_above(tmp_path, root, file, split, label):
    make(tmp_path / root, file)
    assert columns(tmp_path / root, "split", "label") == [(split, label)]


def test_a_root_beside_other_class_folders_is_itself_the_label(tmp_path):
    make(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    assert columns(tmp_path / "cats", "path", "label") == [("1.jpg", "cats")]


def test_a_root_alone_is_no_label(tmp_path):
    make(tmp_path, "holiday/1.jpg", "notes/readme.txt")
    assert columns(tmp_path / "holiday", "label") == [(None,)]


def test_stores_are_not_scanned(tmp_path):
    make(tmp_path, "cats/1.jpg", "output/store.json", "output/thumbs/ab/ab.jpg")
    assert columns(tmp_path, "path") == [("cats/1.jpg",)]


def test_a_link_out_of_the_folder_is_followed_only_on_request(tmp_path):
    make(tmp_path, "set/cats/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "set" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "cats" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "2.jpg")
    assert columns(tmp_path / "set", "path") == [("cats/1.jpg",)]
    followed = columns(tmp_path / "set", "path", follow_links=True)
    assert followed == [("cats/1.jpg",), ("cats/3.jpg",), ("out/2.jpg",)]


def test_a_link_to_a_folder_above_ends(tmp_path):
    make(tmp_path, "set/cats/1.jpg")
    (tmp_path / "set" / "cats" / "again").symlink_to(tmp_path / "set")
    assert columns(tmp_path / "set", "path", follow_links=True) == [("cats/1.jpg",)]


def test_a_link_to_itself_and_a_link_to_nothing_are_skipped(tmp_path):
    make(tmp_path, "set/1.jpg")
    (tmp_path / "set" / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "set" / "dangling.jpg").symlink_to("nothing.jpg")
    for follow in (False, True):
        assert columns(tmp_path / "set", "path", follow_links=follow) == [("1.jpg",)]


def test_what_is_left_out_is_counted(tmp_path):
    root = make(
        tmp_path / "set", "1.jpg", "a/2.MOV", "a/3.mov", "note.txt", ".hidden.mov", ".git/x.txt", "s/store.json"
    )
    make(tmp_path, "set/s/4.mov", "elsewhere/5.jpg", "elsewhere/6.txt")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "photo.jpg").symlink_to(tmp_path / "elsewhere" / "5.jpg")
    (root / "text.txt").symlink_to(tmp_path / "elsewhere" / "6.txt")
    (root / "gone.jpg").symlink_to("nothing")
    (root / "self").symlink_to("self")
    (root / "a" / "above").symlink_to(root)
    (root / "inside.jpg").symlink_to("1.jpg")
    found = scan_folder(root)
    assert found.records["path"].tolist() == ["1.jpg", "inside.jpg"]
    wanted = LeftOut({".mov": 2, ".txt": 2}, links_outside=2, links_broken=2, links_circular=1)
    assert found.left_out == wanted
    followed = scan_folder(root, follow_links=True)
    assert followed.records["path"].tolist() == ["1.jpg", "folder/5.jpg", "inside.jpg", "photo.jpg"]
    assert followed.left_out == LeftOut({".txt": 3, ".mov": 2}, links_broken=2, links_circular=1)


def test_folders_that_link_to_each_other_end(tmp_path):
    names = [f"f{number}" for number in range(6)]
    for name in names:
        make(tmp_path / "set", f"{name}/1.jpg")
        for other in names:
            if other != name:
                (tmp_path / "set" / name / other).symlink_to(tmp_path / "set" / other)
    found = scan_folder(tmp_path / "set", follow_links=True)
    assert {f"{name}/1.jpg" for name in names} <= set(found.records["path"])
    assert max(path.count("/") for path in found.records["path"]) == 4  # a folder, and three links
    assert found.left_out.links_circular


def test_a_folder_of_nothing_but_links_says_what_to_do(tmp_path):
    make(tmp_path / "elsewhere", "1.jpg")
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    with pytest.raises(DatasetError, match=r"No photos below 'set'.* 3 links out of the folder .*`follow_links`"):
        scan(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"No photos.* 1 file of other kinds was left out: 1 \.mp4"):
        scan(make(tmp_path / "films", "a.mp4"))


def test_heic_is_a_photo_where_it_can_be_read(tmp_path):
    make(tmp_path / "set", "1.avif", "2.heic", "3.HEIF", "4.hif", "5.jpg")
    photos = set(scan(tmp_path / "set")["path"])
    assert photos == {"1.avif", "5.jpg"} | ({"2.heic", "3.HEIF", "4.hif"} if scan_module.has_heif() else set())


def test_a_folder_that_may_not_be_listed_is_not_lost_in_silence(tmp_path, monkeypatch):
    make(tmp_path, "set/1.jpg", "set/secret/2.jpg")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert columns(tmp_path / "set", "path", "bytes") == [("1.jpg", 1), ("secret/", 0)]
    monkeypatch.setattr(os, "scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DatasetError, match="Permission denied"):
        scan(tmp_path / "set")


def test_a_name_that_is_no_utf8_is_spelled_out(tmp_path):
    make(tmp_path / "set", "ok.jpg")
    with open(os.fsencode(tmp_path / "set") + b"/\xff.jpg", "wb") as file:
        file.write(b"x")
    assert columns(tmp_path / "set", "path") == [("\\xff.jpg",), ("ok.jpg",)]


def test_a_folder_without_photos_and_no_folder_are_sentences(tmp_path):
    with pytest.raises(DatasetError, match=r"No photos.*\.jpg"):
        scan(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        scan(tmp_path / "nowhere")


def test_a_list_names_photos_by_path_or_stem(tmp_path):
    records = scan(make(tmp_path, "cats/1.jpg", "cats/2.jpg", "dogs/2.jpg", "dogs/3.jpg"))
    assert select_by_name(records, ["dogs/3.jpg", "1", "", " dogs/2.jpg "])["path"].tolist() == [
        "cats/1.jpg",
        "dogs/2.jpg",
        "dogs/3.jpg",
    ]


@pytest.mark.parametrize(("entry", "message"), [("2", "fits 2 photos"), ("9", "not in the dataset"), ("", "no photo")])
def test_a_list_that_names_none_or_two_is_refused(tmp_path, entry, message):
    records = scan(make(tmp_path, "cats/2.jpg", "dogs/2.jpg"))
    with pytest.raises(DatasetError, match=message):
        select_by_name(records, [entry])


# --- folders that hold photos ---


def test_folders_that_hold_photos_at_any_level_are_listed(tmp_path):
    make(tmp_path / "set", "a/cats/1.jpg", "a/dogs/x/y/2.png", "b/notes.txt", ".h/3.jpg", "s/store.json", "s/4.jpg")
    (tmp_path / "set" / "empty").mkdir()
    assert find_image_folders(tmp_path / "set") == ["", "a", "a/cats", "a/dogs"]
    assert find_image_folders(tmp_path / "set", depth=0) == [""]
    assert find_image_folders(tmp_path / "set", depth=4) == ["", "a", "a/cats", "a/dogs", "a/dogs/x", "a/dogs/x/y"]
    assert find_image_folders(tmp_path / "set", limit=2) == ["", "a"]
    assert find_image_folders(tmp_path / "set" / "b") == []
    assert find_image_folders(tmp_path / "nowhere") == []


def test_links_to_folders_are_not_listed(tmp_path):
    make(tmp_path / "outside", "1.jpg")
    make(tmp_path / "set", "in/1.jpg")
    (tmp_path / "set" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "set" / "in" / "round").symlink_to(tmp_path / "set")
    assert find_image_folders(tmp_path / "set") == ["", "in"]


def test_what_is_listed_can_be_scanned():
    root = Path(__file__).resolve().parents[3] / "dataset"
    for folder in find_image_folders(root):
        assert len(scan(root / folder))


def test_masks_among_the_photos_of_a_training_folder_are_noticed(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "images", "cats"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"x")
    (sentence,) = describe_mask_folders(scan(tmp_path))
    assert sentence.startswith("'SegmentationClass' beside 'JPEGImages' holds masks, it seems")
    assert describe_mask_folders(scan(tmp_path / "JPEGImages")) == []
    (tmp_path / "SegmentationClass" / "a.png").unlink()
    assert describe_mask_folders(scan(tmp_path)) == []
