"""Clients of the media routes over a store that one can check by eye."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server import media_routes
from tests.dashboard.conftest import fill_store, id_of, make_run_config, real_id

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name
CAT = id_of("cats/a.jpg")
REAL = real_id("cats/a.jpg")
PHOTO = f"/media-api/photo/{REAL}.jpg"


@pytest.fixture
def client(full):
    return TestClient(Starlette(routes=media_routes.routes))


@pytest.fixture
def photos(real):
    return TestClient(Starlette(routes=media_routes.routes))


def place(store, name: str = "cats/a.jpg"):
    return store.parent / "photos" / name


@pytest.fixture
def two(full):
    """A second run: of the photo with cat in its upper half it says dog in the upper quarter, then cat."""
    fill_store(full, code_schema=2, pixels={"cats/a.jpg": {"dog": 25, "cat": 35}, "cats/b.jpg": {"dog": 30}})
    return TestClient(Starlette(routes=media_routes.routes))
