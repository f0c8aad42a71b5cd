"""Photos on object storage are shown as they were at their scan, from the cache after the first time."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server import cache, media_routes, photo_files
from seglib.data.image import compute_image_id
from seglib.data.photo_root import parse_root
from seglib.pipeline.photo_index import register_photos
from seglib.store.store import Store
from tests.dashboard.conftest import photo_of

IMAGE_ID = compute_image_id(photo_of("cats/a.jpg"))
PHOTO = f"/media-api/photo/{IMAGE_ID}.jpg"


@pytest.fixture
def photos(bucket, empty):
    bucket.put("set/cats/a.jpg", photo_of("cats/a.jpg"))
    register_photos(Store(empty), parse_root("s3://photos/set"), workers=0)
    cache.disk_cache.cache_clear()
    return TestClient(Starlette(routes=media_routes.routes))


def test_a_photo_is_shown_and_kept(photos, bucket, empty):
    first = photos.get(PHOTO)
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    bucket.delete("set/cats/a.jpg")
    assert photos.get(PHOTO).content == first.content


def test_a_photo_that_is_gone_or_has_changed_is_said(photos, bucket, empty):
    bucket.put("set/cats/a.jpg", photo_of("another"))
    assert photos.get(PHOTO).status_code == 404
    reason = photo_files.find(Store(empty), IMAGE_ID).reason
    assert reason == "s3://photos/set/cats/a.jpg cannot be read: It has changed since it was listed: run again"
    bucket.delete("set/cats/a.jpg")
    assert photo_files.find(Store(empty), IMAGE_ID).reason.endswith("cannot be read: It is gone")


def test_photos_of_a_bucket_are_in_a_zip(photos, bucket):
    answer = photos.get("/media-api/photos.zip", params={"run": "x"})
    assert answer.status_code == 404  # no such run
