"""Pictures by opaque ids: the right bytes, kept by browsers, and nothing else whatever is asked."""

import contextlib
import io
import queue

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server import cache, media_routes, media_urls, rendering, responses
from dashboard.server.cache import ByteCache
from dashboard.settings import ServerSettings
from seglib.classes import VOC_CLASSES, palette
from seglib.evaluation import truth_counting
from seglib.maintenance import compact
from seglib.masks import difference
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PHOTO_WH, draw_truth, fill_store, id_of, mask_of, real_id
from tests.dashboard.server.conftest import CAT, OTHER, PHOTO, REAL, RUN


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


def test_a_picture_that_the_browser_has_is_not_sent_again(client):
    url = f"/media-api/overlay/{RUN}/{CAT}.png"
    etag = client.get(url).headers["etag"]
    again = client.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(f"{url}?palette=voc").headers["etag"] != etag


def test_packed_pictures_are_served_as_single_files_are(graded, full):
    client, about, masks = graded
    store = Store(full)

    def ask():
        urls = [
            media_urls.thumbnail_url(store, CAT),
            media_urls.mask_url(store, RUN, CAT),
            media_urls.overlay_url(store, RUN, CAT, "voc"),
            media_urls.difference_url(store, RUN, RUN, CAT),
            media_urls.error_map_url(store, RUN, CAT, about, masks[CAT]),
        ]
        return urls, [client.get(url) for url in urls]

    before = ask()
    compact.pack_pictures(store)
    assert not store.mask_path(RUN, CAT).exists()
    after = ask()
    assert not set(after[0]) & set(before[0]), "a packed picture has another version"
    for old, new in zip(before[1], after[1], strict=True):
        assert new.content == old.content
        assert new.headers["cache-control"].endswith("immutable")
    unknown = "0" * 32
    assert media_urls.thumbnail_url(store, unknown) is media_urls.difference_url(store, RUN, RUN, unknown) is None


def test_the_heads_alone_can_be_asked_for(client):
    assert client.head(f"/media-api/thumb/{CAT}.jpg").headers["content-type"] == "image/jpeg"


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
    f"/media-api/photo/{CAT}.png",
    f"/media-api/photo/{'0' * 32}.jpg",
    "/media-api/photo/../../photos/cats/a.jpg",
    "/media-api/photo/..%2f..%2fphotos%2fcats%2fa.jpg",
    "/media-api/photo/cats/a.jpg",
    f"/media-api/mask/{CAT}.png",
    f"/media-api/mask/{RUN}/{CAT}.jpg",
    f"/media-api/mask/{RUN}/{'0' * 32}.png",
    f"/media-api/mask/{RUN}/{CAT}.png?palette=voc",
    f"/media-api/mask/..%2fruns%2f{RUN}/{CAT}.png",
    f"/media-api/uncertainty/{RUN}x/{CAT}.png",
    f"/media-api/uncertainty/{RUN}/{CAT}.jpg",
    f"/media-api/uncertainty/{RUN}/{CAT[:-1]}.png",
    f"/media-api/uncertainty/%2e%2e/{CAT}.png",
    f"/media-api/uncertainty/{RUN}/{CAT}.png?path=/etc/passwd",
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


ADDRESSES = [
    *(f"thumb/{CAT}.jpg", f"overlay/{RUN}/{CAT}.png", f"mask/{RUN}/{CAT}.png"),
    *(f"photo/{CAT}.jpg", f"uncertainty/{RUN}/{CAT}.png"),
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pictures_are_only_read(client, method, address):
    answer = client.request(method, f"/media-api/{address}")
    assert answer.status_code == 405
    assert not answer.headers["content-type"].startswith("image/")


def test_the_viewers_mask(client, full):
    url = media_urls.mask_url(Store(full), RUN, CAT)
    answer = client.get(url)
    assert answer.headers["cache-control"].endswith("immutable")
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.mode == "L"
    assert (np.asarray(picture) == mask_of({"cat": 50})).all()
    assert client.head(url).headers["content-type"] == "image/png"
    assert media_urls.mask_url(Store(full), RUN, "0" * 32) is None


def test_pictures_of_the_demo_have_urls_of_their_own(real, tmp_path):
    """The same photo under the same run's name, whose mask differs: a browser keeps both for ever."""
    demo = ServerSettings.read().demo.store
    fill_store(demo, pixels={"cats/a.jpg": {"dog": 7}}, folder="sample", real=True)
    client = TestClient(Starlette(routes=media_routes.routes))
    bodies = []
    for store in (Store(real), Store(demo)):
        urls = [
            media_urls.thumbnail_url(store, REAL),
            media_urls.photo_url(store, REAL),
            media_urls.overlay_url(store, RUN, REAL, "voc"),
            media_urls.mask_url(store, RUN, REAL),
        ]
        answers = [client.get(url) for url in urls]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert all(url.startswith("/media-api/demo/") is (store.path == demo) for url in urls)
        assert media_urls.uncertainty_url(store, RUN, REAL).startswith("/media-api/demo/") is (store.path == demo)
        bodies.append(answers[3].content)
        assert client.head(media_urls.zip_url(store, "photos", run=RUN, where="label=cats")).status_code == 200
    assert bodies[0] != bodies[1]
    assert client.get(f"/media-api/demo/thumb/{real_id('dogs/d.jpg')}.jpg").status_code == 404  # only in one's own
    for junk in ("/media-api/demo", "/media-api/demo/", "/media-api/demo/../thumb/x.jpg", "/media-api/demo/demo/x"):
        assert client.get(junk).status_code == 404


def test_a_photo_is_shown_at_its_size(photos, real):
    url = media_urls.photo_url(Store(real), REAL)
    answer = photos.get(url)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"].endswith("immutable")
    assert Image.open(io.BytesIO(answer.content)).size == PHOTO_WH
    assert photos.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert photos.head(url).headers["content-type"] == "image/jpeg"
    assert "cats" not in url


def test_a_photo_is_decoded_once_and_kept_on_disk(photos, real, monkeypatch):
    body = photos.get(PHOTO).content
    assert (real / "cache" / "photos" / REAL[:2] / f"{REAL}.jpg").read_bytes() == body
    monkeypatch.setattr(responses, "memory_cache", ByteCache(0))
    monkeypatch.setattr(rendering, "screen_photo", lambda data: pytest.fail("decoded again"))
    assert photos.get(PHOTO).content == body


def test_a_server_first_removes_what_is_stale_in_the_cache(photos, real, monkeypatch):
    cleaned: queue.SimpleQueue = queue.SimpleQueue()
    monkeypatch.setattr(cache, "remove_stale", cleaned.put)
    cache.disk_cache.cache_clear()
    for _ in range(2):
        assert photos.get(PHOTO).status_code == 200
        monkeypatch.setattr(responses, "memory_cache", ByteCache(0))
    assert cleaned.get(timeout=60) == real
    assert cleaned.empty(), "only once"


def test_refusals_are_not_kept(client):
    assert client.get(f"/media-api/thumb/{'0' * 32}.jpg").headers["cache-control"] == "no-store"


def test_a_damaged_mask_is_no_picture(client, full):
    Store(full).mask_path(RUN, CAT).write_bytes(b"no picture")
    assert client.get(f"/media-api/overlay/{RUN}/{CAT}.png").status_code == 404


@pytest.mark.parametrize("state", ["missing", "newer"])
def test_a_store_that_cannot_be_read_serves_nothing(request, state):
    request.getfixturevalue(state)
    client = TestClient(Starlette(routes=media_routes.routes))
    assert client.get(f"/media-api/thumb/{CAT}.jpg").status_code == 404


def test_the_store_is_opened_once_per_version(client, full, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(media_routes, "Store", lambda path: opened.append(path) or Store(path))
    for _ in range(3):
        assert client.get(f"/media-api/overlay/{RUN}/{CAT}.png").status_code == 200
    assert opened == [full]
    fill_store(full, code_schema=2)
    assert client.get(f"/media-api/overlay/{OTHER}/{CAT}.png").status_code == 200
    assert opened == [full, full]
    (full / "runs" / "link").symlink_to(tmp_path)
    assert client.get(f"/media-api/overlay/{RUN}/{CAT}.png").status_code == 404  # as when it is opened anew


def test_an_entry_of_the_store_that_vanishes_meanwhile_does_no_harm(full, monkeypatch):
    class Vanished:
        name = "lock"

        def stat(self, *, follow_symlinks: bool):
            raise FileNotFoundError

    monkeypatch.setattr(media_routes.os, "scandir", lambda path: contextlib.nullcontext([Vanished()]))
    assert media_routes._folder_version(full) == (("lock", 0, 0, 0),)


def test_a_picture_shows_where_two_runs_differ(two):
    answer = two.get(f"/media-api/difference/{RUN}/{OTHER}/{CAT}.png")
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    expected = [difference.OTHER] * 25 + [difference.SAME] * 25 + [difference.ONLY_B] * 10 + [0] * 40
    assert np.asarray(picture).ravel().tolist() == expected
    assert picture.convert("RGBA").getpixel((0, 9))[3] == 0
    swapped = two.get(f"/media-api/difference/{OTHER}/{RUN}/{CAT}.png")
    assert np.asarray(Image.open(io.BytesIO(swapped.content))).ravel()[55] == difference.ONLY_A
    assert swapped.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        f"{RUN}/{RUN}x/{CAT}.png",
        f"{RUN}/..%2f..%2fx/{CAT}.png",
        f"{RUN}/{OTHER}/{CAT[:-1]}.png",
        f"{RUN}/{OTHER}/{id_of('dogs/d.jpg')}.png",  # the other run has no mask of it
        f"{RUN}/{OTHER}/{CAT}.png?palette=voc",
        f"{RUN}/{OTHER}/{CAT}.png?v=x",
        f"{RUN}/{CAT}.png",
    ],
)
def test_what_is_no_pair_of_masks_is_refused(two, path):
    answer = two.get(f"/media-api/difference/{path}")
    assert (answer.status_code, answer.text) == (404, "not found")


def test_a_damaged_mask_is_refused(two, full):
    Store(full).mask_path(OTHER, CAT).write_bytes(b"no picture")
    assert two.get(f"/media-api/difference/{RUN}/{OTHER}/{CAT}.png").status_code == 404


@pytest.fixture
def graded(full):
    """(client, the truth, image_id -> id of its mask) of the photos of `TRUTH`."""
    store = Store(full)
    about = truth_counting.update_counts(store, open_drawn(draw_truth(full.parent / "masks")), [RUN]).truth
    return TestClient(Starlette(routes=media_routes.routes)), about, ground_truth.mask_ids_by_image(store, about)


def test_a_truth_is_grey_for_the_viewer_and_coloured_for_the_gallery(graded, full):
    client, about, masks = graded
    url = media_urls.truth_url(Store(full), about, masks[CAT])
    answer = client.get(url)
    assert answer.headers["cache-control"].endswith("immutable")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.mode, picture.size) == ("L", (40, 30))
    assert np.unique(np.asarray(picture)).tolist() == [0, VOC_CLASSES.index("cat")]
    coloured = client.get(media_urls.truth_url(Store(full), about, masks[CAT], "voc"))
    rgba = np.asarray(Image.open(io.BytesIO(coloured.content)).convert("RGBA"))
    assert tuple(rgba[0, 0]) == (*palette("voc")[VOC_CLASSES.index("cat")], 255)
    assert rgba[-1, -1, 3] == 0
    assert coloured.headers["etag"] != answer.headers["etag"]


def test_a_picture_shows_where_a_run_is_wrong(graded, full):
    client, about, masks = graded
    store = Store(full)
    answer = client.get(media_urls.error_map_url(store, RUN, CAT, about, masks[CAT]))
    found = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.bincount(found.ravel(), minlength=3).tolist() == [480, 600, 120]  # background, right, missed: x 12
    store.mask_path(RUN, CAT).unlink()
    assert media_urls.error_map_url(store, RUN, CAT, about, masks[CAT]) is None
    ground_truth.mask_path(store, about, masks[CAT]).unlink()
    assert media_urls.truth_url(store, about, masks[CAT]) is None


def test_what_is_no_truth_is_refused(graded, full):
    client, about, masks = graded
    mask_id, none = masks[CAT], "0" * 32
    for path in (
        f"truth/{about.id}/{none}.png",
        f"truth/00000000/{mask_id}.png",
        f"truth/{about.id}x/{mask_id}.png",
        f"truth/..%2f..%2f/{mask_id}.png",
        f"truth/{about.id}/{mask_id[:-1]}.png",
        f"truth/{about.id}/{mask_id}.png?palette=none",
        f"truth/{about.id}/{mask_id}.png?path=/etc/passwd",
        f"judged/{RUN}/{about.id}/{none}/{CAT}.png",
        f"judged/{RUN}/{about.id}/{mask_id}/{none}.png",
        f"judged/{RUN}x/{about.id}/{mask_id}/{CAT}.png",
        f"judged/{RUN}/..%2f../{mask_id}/{CAT}.png",
    ):
        answer = client.get(f"/media-api/{path}")
        assert (answer.status_code, answer.text) == (404, "not found"), path
    url = media_urls.truth_url(Store(full), about, mask_id)
    ground_truth.mask_path(Store(full), about, mask_id).write_bytes(b"no picture")
    assert client.get(url).status_code == 404
