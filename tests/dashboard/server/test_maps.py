"""The routes of the map send what was published, and nothing else."""

import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server import media_routes
from dashboard.server.maps import published, routes


class Rows:
    def __len__(self) -> int:
        return 2

    def describe(self, number: int) -> dict[str, object]:
        return {"id": "x", "name": f"<b>{number}</b>"}

    def csv(self):
        yield from (b"a,b\n", b"1,2\n")


@pytest.fixture
def client(serve, tmp_path) -> TestClient:
    serve(tmp_path / "store")
    return TestClient(Starlette(routes=[*routes.routes, *media_routes.routes]))


def test_bytes_are_sent_as_they_are_and_kept_by_the_browser(client):
    address = published.publish_bytes(b"\x00\x01\xff\xff")
    answer = client.get(address)
    assert answer.content == b"\x00\x01\xff\xff"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert published.publish_bytes(b"\x00\x01\xff\xff") == address


def test_points_are_described_one_by_one_and_as_csv(client):
    address = published.publish_table(published.compute_key("a", "b"), Rows())
    assert json.loads(client.get(f"{address}/1.json").content) == {"id": "x", "name": "<b>1</b>"}
    assert client.get(f"{address}/1.json").headers["content-type"] == "application/json"
    assert client.get(f"{address}.csv").content == b"a,b\n1,2\n"
    assert client.get(f"{address}/2.json").status_code == 404
    assert client.get(f"{address}/-1.json").status_code == 404
    assert client.get(f"{address}/1.json?x=1").status_code == 404


@pytest.mark.parametrize("path", ["0" * 32 + ".bin", "x.bin", "0" * 32 + "/0.json", "..%2f.bin", "0" * 32 + ".csv", ""])
def test_what_was_not_published_is_not_found(client, path):
    answer = client.get(f"/media-api/map/{path}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


def test_only_the_newest_tables_are_kept(client):
    first = published.compute_key("first")
    published.publish_table(first, Rows())
    for number in range(published.MAX_TABLES):
        published.publish_table(published.compute_key(str(number)), Rows())
    assert published.find_table(first) is None


def test_keys_of_different_parts_differ():
    assert published.compute_key("ab", "c") != published.compute_key("a", "bc")
