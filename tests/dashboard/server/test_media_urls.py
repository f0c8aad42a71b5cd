"""Addresses of pictures: new with each change of a file, and without its name."""

import hashlib

from dashboard.server import media_urls
from seglib.store.store import Store
from tests.dashboard.conftest import id_of
from tests.dashboard.server.conftest import CAT, OTHER, RUN


def test_addresses_change_with_the_file(client, full):
    store = Store(full)
    url = media_urls.overlay_url(store, RUN, CAT, "voc")
    assert client.get(url).headers["cache-control"].endswith("immutable")
    before = client.get(url).content
    file = store.mask_path(RUN, CAT)
    file.write_bytes(store.mask_path(RUN, id_of("dogs/d.jpg")).read_bytes())
    assert media_urls.overlay_url(store, RUN, CAT, "voc") != url
    stale = client.get(url)  # the old address gives the new picture, but not for ever
    assert stale.content != before
    assert stale.headers["cache-control"] == "no-cache"


def test_a_picture_that_is_not_there_has_no_address(full):
    assert media_urls.thumbnail_url(Store(full), "0" * 32) is None
    assert media_urls.overlay_url(Store(full), RUN, "0" * 32, "voc") is None


def test_names_of_files_are_not_in_addresses(full):
    url = media_urls.thumbnail_url(Store(full), CAT)
    assert "cats" not in url
    assert hashlib.sha256(b"cats/a.jpg").hexdigest()[:32] in url


def test_the_address_of_a_difference_changes_with_either_mask(two, full):
    store = Store(full)
    url = media_urls.difference_url(store, RUN, OTHER, CAT)
    assert two.get(url).headers["cache-control"].endswith("immutable")
    for run in (RUN, OTHER):
        before = media_urls.difference_url(store, RUN, OTHER, CAT)
        file = store.mask_path(run, CAT)
        file.write_bytes(store.mask_path(RUN, id_of("dogs/d.jpg")).read_bytes())
        assert media_urls.difference_url(store, RUN, OTHER, CAT) != before
    assert two.get(url).headers["cache-control"] == "no-cache"
    file.unlink()
    assert media_urls.difference_url(store, RUN, OTHER, CAT) is None
