"""Doubtful pixels of a ground truth by opaque ids, coloured and grey."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.server import media_urls, rendering
from seglib.classes import VOID
from seglib.masks.png import encode_index_png
from seglib.store import pair_counts
from seglib.store.store import Store
from tests.dashboard.conftest import draw_truth, id_of
from tests.dashboard.judged import judge
from tests.dashboard.server.conftest import CAT, RUN

WRONG = id_of("cats/b.jpg")


@pytest.fixture
def judged(client, full, monkeypatch):
    """(client, ground truth): `cats/b` is drawn as a cat, and the model sees a dog."""
    return client, judge(Store(full), RUN, draw_truth(full.parent / "masks"), monkeypatch)


def test_doubtful_pixels_are_painted_in_one_colour_and_nothing_else_is(judged, full):
    client, truth = judged
    answer = client.get(media_urls.doubts_url(Store(full), RUN, WRONG, truth))
    assert answer.headers["content-type"] == "image/png"
    rgba = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))  # (H, W, 4)
    assert rgba.shape == (10, 10, 4)
    assert (rgba[:3, :, 3] == 255).all()  # 30 of 100 pixels
    assert (rgba[3:, :, 3] == 0).all()
    assert tuple(rgba[0, 0, :3]) == tuple(bytes.fromhex(rendering.DOUBT_COLOUR[1:]))
    grey = client.get(media_urls.doubts_url(Store(full), RUN, WRONG, truth, grey=True))
    assert (np.asarray(Image.open(io.BytesIO(grey.content))) == np.where(rgba[..., 3], 255, 0)).all()
    assert grey.headers["etag"] != answer.headers["etag"]


def test_a_background_that_the_model_prefers_is_doubtful_too():
    data = rendering.colour_doubts(encode_index_png(np.array([[0, VOID, 3]], np.uint8)))
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[0, :, 3].tolist() == [255, 0, 255]


def test_what_is_no_map_of_doubts_is_refused(judged, full):
    client, truth = judged
    for path in (
        f"doubts/{RUN}/{truth.id}/{'0' * 32}.png",
        f"doubts/{RUN}x/{truth.id}/{WRONG}.png",
        f"doubts/{RUN}/00000000/{WRONG}.png",
        f"doubts/..%2f..%2f/{truth.id}/{WRONG}.png",
        f"doubts/{RUN}/{truth.id}/{WRONG}.png?grey=1",
        f"doubts/{RUN}/{truth.id}/{WRONG}.png?palette=voc",
    ):
        answer = client.get(f"/media-api/{path}")
        assert (answer.status_code, answer.text) == (404, "not found"), path
    store = Store(full)
    url = media_urls.doubts_url(store, RUN, CAT, truth)
    file = pair_counts.doubt_path(pair_counts.evaluation_folder(store, RUN, truth.id), CAT)
    file.write_bytes(b"no picture")
    assert client.get(url).status_code == 404
    file.unlink()
    assert media_urls.doubts_url(store, RUN, CAT, truth) is None
