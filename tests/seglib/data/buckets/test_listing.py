"""Inventories of buckets: what several services call the same columns, and what does not fit the address."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seglib.data.buckets.address import Bucket
from seglib.data.buckets.scan import scan_bucket
from seglib.data.photo_root import scan_photos
from seglib.errors import DatasetError, UsageError

SETS = Bucket("s3", "photos", "sets")


def listing(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "listing.parquet")
    return tmp_path / "listing.parquet"


def test_an_inventory_is_read_as_the_bucket_would_be(tmp_path):
    file = listing(
        tmp_path,
        Bucket=["photos"] * 7,
        Key=[
            "sets/dogs/2.JPG",
            "sets/cats/1.jpg",
            "sets/notes.txt",
            "sets2/3.jpg",
            "sets/",
            "sets/.x/4.jpg",
            "sets/5.png",
        ],
        Size=[2, 1, 9, 3, 0, 4, 5],
        ETag=["b", '"a"', "c", "d", "e", "f", "g"],
        Last_Modified=[datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)] * 7,
    )
    found = scan_photos(SETS, listing=file)
    assert found.records["path"].tolist() == ["5.png", "cats/1.jpg", "dogs/2.JPG"]
    assert found.records["etag"].tolist() == ['"g"', '"a"', '"b"']
    assert found.records["bytes"].tolist() == [5, 1, 2]
    assert found.records["label"].tolist()[1:] == ["cats", "dogs"]
    assert found.records["mtime_ns"].tolist() == [1767312000 * 10**9] * 3
    assert found.left_out.kinds == {".txt": 1}


def test_a_store_in_the_bucket_is_left_out(tmp_path):
    keys = ["sets/a.jpg", "sets/out/store.json", "sets/out/thumbs/ab/x.jpg", "sets/out2/b.jpg"]
    file = listing(tmp_path, key=keys, size=[1] * 4, e_tag=["x"] * 4)
    assert scan_bucket(SETS, file).records["path"].tolist() == ["a.jpg", "out2/b.jpg"]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"key": ["sets/1.jpg"], "size": [1]}, "no column for etag"),
        ({"key": ["other/1.jpg"], "size": [1], "etag": ["a"]}, "None of the 1 keys .* is below s3://photos/sets"),
        ({"key": ["sets/1.jpg"], "size": [1], "etag": ["a"], "bucket": ["mine"]}, "of the bucket 'mine'"),
        ({"key": ["sets/1.jpg"], "size": ["big"], "etag": ["a"]}, "other types"),
        ({"key": ["sets/1.jpg"], "size": [None], "etag": ["a"]}, "lacks the key, the size or the etag"),
        ({"key": ["sets/1.txt"], "size": [1], "etag": ["a"]}, "No photos below 's3://photos/sets'"),
    ],
)
def test_what_does_not_fit_the_address_is_refused(tmp_path, columns, why):
    with pytest.raises(DatasetError, match=why):
        scan_photos(SETS, listing=listing(tmp_path, **columns))


def test_only_the_newest_versions_of_an_inventory_count(tmp_path):
    keys = {"key": ["sets/a.jpg", "sets/a.jpg", "sets/b.jpg"], "size": [1, 2, 3], "etag": ["x", "y", "z"]}
    file = listing(tmp_path, **keys, is_latest=[False, True, True], is_delete_marker=[False, False, True])
    assert scan_bucket(SETS, file).records[["path", "bytes"]].to_numpy().tolist() == [["a.jpg", 2]]
    with pytest.raises(DatasetError, match="names 1 photos more than once"):
        scan_bucket(SETS, listing(tmp_path, **keys))
    with pytest.raises(DatasetError, match="is_latest that is not true or false"):
        scan_bucket(SETS, listing(tmp_path, **keys, is_latest=["no", "yes", "yes"]))


def test_other_files_and_folders_are_refused(tmp_path):
    (tmp_path / "keys.csv").write_text("key,size,etag\n")
    with pytest.raises(DatasetError, match=r"'keys.csv' is not a Parquet file"):
        scan_photos(SETS, listing=tmp_path / "keys.csv")
    with pytest.raises(UsageError, match="give an address"):
        scan_photos(tmp_path, listing=tmp_path / "keys.csv")
