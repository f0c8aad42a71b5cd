"""Pictures by opaque ids: the right bytes, kept by browsers, and nothing else whatever is asked."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import media
from seglib.classes import VOC_CLASSES, palette
from seglib.store import Store

from .conftest import id_of, mask_of, recipe

RUN = recipe().run
CAT = id_of("cats/a.jpg")


@pytest.fixture
def client(full):
    return TestClient(Starlette(routes=media.routes))


def test_a_thumbnail_is_the_stores_file(client, full):
    answer = client.get(f"/media-api/thumb/{CAT}.jpg")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == Store(full).thumbnail_path(CAT).read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("colours", ["okabe-ito", "voc"])
def test_a_mask_is_painted_and_its_background_is_transparent(client, colours):
    answer = client.get(f"/media-api/overlay/{RUN}/{CAT}.png?palette={colours}")
    assert answer.headers["content-type"] == "image/png"
    rgba = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))  # (H, W, 4)
    mask = mask_of({"cat": 50})
    assert rgba.shape == (10, 10, 4)
    assert (rgba[..., 3] == np.where(mask == 0, 0, 255)).all()
    assert (rgba[mask > 0][:, :3] == palette(colours, VOC_CLASSES)[VOC_CLASSES.index("cat")]).all()


def test_void_is_transparent_too():
    from seglib.overlay import index_png

    data = media.colour_mask(index_png(np.array([[0, 255, 8]], np.uint8)), "voc", VOC_CLASSES)
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[0, :, 3].tolist() == [0, 0, 255]


def test_a_picture_that_the_browser_has_is_not_sent_again(client):
    url = f"/media-api/overlay/{RUN}/{CAT}.png"
    etag = client.get(url).headers["etag"]
    again = client.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(f"{url}?palette=voc").headers["etag"] != etag


def test_the_heads_alone_can_be_asked_for(client):
    assert client.head(f"/media-api/thumb/{CAT}.jpg").headers["content-type"] == "image/jpeg"


def test_addresses_change_with_the_file(client, full):
    store = Store(full)
    url = media.overlay_url(store, RUN, CAT, "voc")
    assert client.get(url).headers["cache-control"].endswith("immutable")
    before = client.get(url).content
    file = store.mask_path(RUN, CAT)
    file.write_bytes(store.mask_path(RUN, id_of("dogs/d.jpg")).read_bytes())
    assert media.overlay_url(store, RUN, CAT, "voc") != url
    stale = client.get(url)  # the old address gives the new picture, but not for ever
    assert stale.content != before
    assert stale.headers["cache-control"] == "no-cache"


def test_a_picture_that_is_not_there_has_no_address(full):
    assert media.thumbnail_url(Store(full), "0" * 32) is None
    assert media.overlay_url(Store(full), RUN, "0" * 32, "voc") is None


REFUSED = [
    "/media-api",
    "/media-api/",
    "/media-api/thumb/../store.json",
    "/media-api/thumb/..%2f..%2fstore.json",
    "/media-api/thumb/%2e%2e/%2e%2e/store.json",
    "/media-api/thumb/..%5c..%5cstore.jpg",
    "/media-api/thumb/%252e%252e%252fstore.jpg",
    "/media-api//etc/passwd",
    f"/media-api/thumb/{CAT}",
    f"/media-api/thumb/{CAT}.png",
    f"/media-api/thumb/{CAT}.jpg.png",
    f"/media-api/thumb/{CAT}%00.jpg",
    f"/media-api/thumb/{CAT}%0a.jpg",
    f"/media-api/thumb/{CAT.upper()}.jpg",
    f"/media-api/thumb/{CAT[:-1]}.jpg",
    f"/media-api/thumb/{'0' * 32}.jpg",
    f"/media-api/thumb/{CAT}.jpg?palette=voc",
    f"/media-api/thumb/{CAT}.jpg?v=../x",
    f"/media-api/thumb/{CAT}.jpg?v=1&v=2",
    f"/media-api/photo/{CAT}.jpg",
    f"/media-api/overlay/{CAT}.png",
    f"/media-api/overlay/{RUN}/{CAT}.jpg",
    f"/media-api/overlay/{RUN}x/{CAT}.png",
    f"/media-api/overlay/../{CAT}.png",
    f"/media-api/overlay/%2e%2e/{CAT}.png",
    f"/media-api/overlay/..%2fruns%2f{RUN}/{CAT}.png",
    f"/media-api/overlay/{RUN}/{CAT}.png?palette=random:1",
    f"/media-api/overlay/{RUN}/{CAT}.png?palette=../../etc",
    f"/media-api/overlay/{RUN}/{CAT}.png?file=/etc/passwd",
]


@pytest.mark.parametrize("url", REFUSED)
def test_nothing_else_is_served(client, full, url):
    answer = client.get(url)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text in ("not found", "Not Found")
    assert str(full) not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pictures_are_only_read(client, method):
    answer = client.request(method, f"/media-api/thumb/{CAT}.jpg")
    assert answer.status_code == 405
    assert not answer.headers["content-type"].startswith("image/")


def test_refusals_are_not_kept(client):
    assert client.get(f"/media-api/thumb/{'0' * 32}.jpg").headers["cache-control"] == "no-store"


def test_a_damaged_mask_is_no_picture(client, full):
    Store(full).mask_path(RUN, CAT).write_bytes(b"no picture")
    assert client.get(f"/media-api/overlay/{RUN}/{CAT}.png").status_code == 404


@pytest.mark.parametrize("state", ["missing", "newer"])
def test_a_store_that_cannot_be_read_serves_nothing(request, state):
    request.getfixturevalue(state)
    client = TestClient(Starlette(routes=media.routes))
    assert client.get(f"/media-api/thumb/{CAT}.jpg").status_code == 404


def test_the_cache_holds_no_more_than_it_may():
    cache = media._ByteCache(100)
    for number in range(10):
        cache.put((str(number),), bytes(30))
    kept = [number for number in range(10) if cache.get((str(number),)) is not None]
    assert kept == [7, 8, 9]
    cache.put(("big",), bytes(1000))
    assert cache.get(("big",)) is None


def test_names_of_files_are_not_in_addresses(full):
    url = media.thumbnail_url(Store(full), CAT)
    assert "cats" not in url
    assert hashlib.sha256(b"cats/a.jpg").hexdigest()[:32] in url
