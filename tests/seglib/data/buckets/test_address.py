import pickle
from pathlib import Path

import pytest

from seglib.data.buckets.address import Bucket
from seglib.data.photo_root import name_photo, parse_root
from seglib.errors import UsageError


@pytest.mark.parametrize(
    ("text", "scheme", "bucket", "prefix"),
    [
        ("s3://photos/test set/a", "s3", "photos", "test set/a"),
        ("s3://photos", "s3", "photos", ""),
        ("s3://photos/", "s3", "photos", ""),
        ("gs://photos/a/", "gs", "photos", "a"),
        ("az://container/ä", "az", "container", "ä"),
        ("S3://photos/A", "s3", "photos", "A"),
    ],
)
def test_an_address_names_a_bucket_and_a_prefix(text, scheme, bucket, prefix):
    found = parse_root(text)
    assert found == Bucket(scheme, bucket, prefix)
    assert parse_root(str(found)) == pickle.loads(pickle.dumps(found)) == found
    assert name_photo(found, "cats/1.jpg") == f"{found}/cats/1.jpg"


@pytest.mark.parametrize("text", ["photos", "/photos", "C:/photos", "s3:photos", "s3", "a:b/c", "ä://x"])
def test_everything_else_is_a_folder(text):
    assert parse_root(text) == Path(text)
    assert parse_root(Path(text)) == Path(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://key:hush@photos/a", "no credentials"),
        ("s3://photos/a?hush=1", "no query"),
        ("s3://photos/a#hush", "no query"),
        ("https://key:hush@photos/a", "no credentials"),
        ("https://photos/a", "https:// is not supported"),
        ("file:///photos", "file:// is not supported"),
        ("s3:/photos/a", "two slashes"),
        ("s3:///photos/a", "two slashes"),
        ("s3://", "names no bucket"),
        ("s3://../a", "names no bucket"),
        ("s3://pho tos/a", "names no bucket"),
        ("s3://photos/../a", "an empty part"),
        ("s3://photos//a", "an empty part"),
        ("s3://photos/a//", "an empty part"),
        ("s3://photos/a\nb", "control character"),
    ],
)
def test_what_is_meant_as_an_address_and_is_none_is_refused(text, why):
    with pytest.raises(UsageError, match=why) as refused:
        parse_root(text)
    assert "hush" not in str(refused.value)
