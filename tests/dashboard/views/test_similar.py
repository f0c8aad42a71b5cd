"""The page Similar over vectors that one can check by eye: the six photos stand on a plane."""

import base64

import numpy as np
import pandas as pd
import pytest

from dashboard.queries.similarity import kept
from dashboard.server.maps import published
from dashboard.state.picked_photos import Picks
from dashboard.views.similar import computing, duplicates_section, map_section
from dashboard.workers import similarity
from dashboard.workers.jobs import Jobs
from dashboard.workers.predictor import predictor
from dashboard.workers.requests import SimilarityRequest
from seglib.fileio import parquet_parts
from seglib.store import tags
from seglib.store.embeddings import brought, vectors
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, id_of, make_run_config, photo_of
from tests.dashboard.views.test_pages import asked, component, html, opened, said, send

ANGLES = {
    "cats/a.jpg": 0,
    "cats/b.jpg": 10,
    "cats/c.jpg": 20,
    "dogs/d.jpg": 90,
    "dogs/e.jpg": 100,
    NASTY: 200,
}
"""Path -> direction of its vector in degrees."""


def add_vectors(store, angles: dict[str, float] = ANGLES, name: str = "clip") -> None:
    turns = np.radians(list(angles.values()))
    brought.add_set(Store(store), name, [id_of(path) for path in angles], np.c_[np.cos(turns), np.sin(turns)], "x.npz")


@pytest.fixture
def placed(full):
    """The store of six photos, each with a vector."""
    add_vectors(full)
    return full


def tiles(app) -> list[str]:
    return [tile["name"] for tile in component(app, "tiles")["tiles"]]


def asides(app) -> list[str]:
    return [tile["aside"] for tile in component(app, "tiles")["tiles"]]


def points_of(app) -> np.ndarray:
    """(N, 2): the places of the map, as the browser gets them."""
    return np.frombuffer(body_of(component(app, "points")["points"]), "<u2").reshape(-1, 2)


def codes_of(app) -> list[int]:
    return list(body_of(component(app, "points")["codes"]))


def body_of(address: str) -> bytes:
    body = published.find_bytes(address.rpartition("/")[2].removesuffix(".bin"))
    assert body is not None
    return body


def lasso_of(app, corners: list[tuple[float, float]]) -> str:
    path = base64.urlsafe_b64encode(np.array(corners, "<u2").tobytes()).decode().rstrip("=")
    return f"{component(app, 'points')['map']}.{path}"


def box_around(app, number: int) -> str:
    x, y = points_of(app)[number].astype(int)
    low, high = (max(x - 9, 0), max(y - 9, 0)), (min(x + 9, 65535), min(y + 9, 65535))
    return lasso_of(app, [low, (high[0], low[1]), high, (low[0], high[1])])


def test_without_embeddings_the_page_says_how_to_get_them(full):
    app = opened("Similar")
    assert not app.exception
    assert "This store has no embeddings" in said(app)
    app.button(key="go").click().run()
    assert app.title[0].value == "Runs"


def test_the_map_has_a_point_per_photo_and_a_legend_that_counts_them(placed):
    app = opened("Similar")
    assert not app.exception
    assert not app.error
    data = component(app, "points")
    assert points_of(app).shape == (6, 2)
    assert [(one["name"], one["count"]) for one in data["palette"]["entries"]] == [
        ("cats", 3),
        ("dogs", 2),
        ("others", 1),
    ]
    assert codes_of(app) == [2, 2, 2, 3, 3, 4]
    assert "Map of 6 photos, coloured by Folder: cats 3, dogs 2, others 1" in data["alt"]
    assert len(tiles(app)) == 6


def test_filters_hide_points_and_keep_their_colours(placed):
    app = opened("Similar", label=["dogs"])
    assert codes_of(app) == [0, 0, 0, 3, 3, 0]
    assert tiles(app) == ["dogs/d.jpg", "dogs/e.jpg"]
    assert "**2 photos on the map**" in said(app)


def test_a_lasso_chooses_photos_and_stands_in_the_link(placed):
    app = opened("Similar")
    lasso = box_around(app, 3)
    send(app, "map", "lasso", lasso)
    assert tiles(app) == ["dogs/d.jpg"]
    assert asked(app, "lasso") == [lasso]
    assert "**1 photo in the lasso**" in said(app)
    again = opened("Similar", lasso=[lasso])
    assert tiles(again) == ["dogs/d.jpg"]
    assert component(again, "points")["lasso"] == lasso.partition(".")[2]
    send(app, "map", "lasso", "")
    assert len(tiles(app)) == 6
    assert "lasso" not in app.query_params


@pytest.mark.parametrize(
    "sent", [7, None, {"x": 1}, "x", "0123abcd.####", "0123abcd." + "A" * 17, "0123abcd." + "A" * 2000]
)
def test_a_lasso_that_is_none_changes_nothing(placed, sent):
    app = opened("Similar")
    send(app, "map", "lasso", sent)
    assert not app.exception
    assert len(tiles(app)) == 6
    assert "lasso" not in app.query_params


def test_a_lasso_of_another_map_is_said_and_chooses_nothing(placed):
    app = opened("Similar", lasso=["00000000." + "A" * 16])
    assert "The map has changed since this lasso was drawn" in said(app)
    assert len(tiles(app)) == 6
    assert component(app, "points")["lasso"] == ""


def test_a_lasso_with_corners_that_make_no_sense_is_left_out(placed):
    app = opened("Similar", lasso=["00000000." + "A" * 17])
    assert not app.exception
    assert len(tiles(app)) == 6


@pytest.mark.parametrize(
    ("colour", "kind"),
    [("confidence", "scale"), ("share.cat", "scale"), ("animal", "categories"), ("tag", "categories")],
)
def test_any_field_colours_the_map(placed, colour, kind):
    app = opened("Similar", colour=[colour])
    assert not app.exception
    palette = component(app, "points")["palette"]
    assert palette["kind"] == kind
    assert sum(one["count"] for one in palette["entries"]) + palette["missing"] == (6 if kind == "categories" else 0)


def test_a_colour_that_is_no_field_is_said(placed):
    app = opened("Similar", colour=["nothing"])
    assert "no field 'nothing'" in said(app).replace("\\", "")
    assert component(app, "points")["field"] == "Folder"


def test_a_map_coloured_by_tags_follows_them(placed):
    assert set(codes_of(opened("Similar", colour=["tag"]))) == {1}
    tags.tag(Store(placed), [id_of("dogs/d.jpg")], "keep")
    app = opened("Similar", colour=["tag"])
    assert codes_of(app) == [1, 1, 1, 2, 1, 1]
    assert component(app, "points")["palette"]["entries"][0]["name"] == "keep"
    tags.tag(Store(placed), [id_of("dogs/e.jpg")], "keep")
    assert codes_of(app.run()) == [1, 1, 1, 2, 2, 1]


def test_a_point_describes_its_photo_and_opens_it(placed):
    app = opened("Similar")
    details = component(app, "points")["details"]
    table = published.find_table(details.rpartition("/")[2])
    assert table.describe(5) | {"photo": ""} == {
        "id": id_of(NASTY),
        "name": NASTY,
        "value": "others",
        "photo": "",
        "aspect": 40 / 30,
    }
    assert "thumb" in table.describe(5)["photo"]
    rows = b"".join(table.csv()).decode("utf-8-sig").splitlines()
    assert rows[0] == "dataset,path,image_id,x,y,label"
    assert len(rows) == 7
    send(app, "map", "open", id_of("dogs/d.jpg"))
    assert asked(app, "image") == [id_of("dogs/d.jpg")]
    assert asked(app, "from") == ["similar"]


def test_similar_photos_come_most_similar_first_without_the_one_looked_for(placed):
    app = opened("Similar", find=["similar"], similar=[id_of("cats/a.jpg")])
    assert not app.exception
    assert tiles(app) == ["cats/b.jpg", "cats/c.jpg", "dogs/d.jpg", "dogs/e.jpg", NASTY]
    assert asides(app)[:2] == ["similarity 0.985", "similarity 0.939"]
    assert "most similar to cats/a.jpg" in said(app).replace("\\", "")
    only = opened("Similar", find=["similar"], similar=[id_of("cats/a.jpg")], label=["dogs"])
    assert tiles(only) == ["dogs/d.jpg", "dogs/e.jpg"]


def test_of_several_photos_their_mean_is_looked_for(placed):
    app = opened("Similar", find=["similar"], similar=[id_of("cats/a.jpg"), id_of("dogs/e.jpg")])
    assert tiles(app)[0] == "cats/c.jpg"  # at 20 degrees, the mean at 50


def test_a_photo_without_a_vector_is_a_sentence(full):
    add_vectors(full, {path: angle for path, angle in ANGLES.items() if path != "cats/a.jpg"})
    app = opened("Similar", find=["similar"], similar=[id_of("cats/a.jpg")])
    assert not app.exception
    assert "no embedding in clip" in said(app)
    assert len(points_of(opened("Similar"))) == 5


def test_the_selected_photos_can_be_looked_for(placed):
    app = opened("Similar", find=["similar"])
    assert "Choose a photo" in said(app)
    app.session_state["_picks"] = Picks().with_page([id_of("dogs/d.jpg")], [id_of("dogs/d.jpg")])
    app.run()
    app.button(key="similar_to_picks").click().run()
    assert asked(app, "similar") == [id_of("dogs/d.jpg")]
    assert tiles(app)[0] == "dogs/e.jpg"


def test_unusual_photos_come_first(placed):
    app = opened("Similar", find=["outliers"])
    assert not app.exception
    assert tiles(app)[0] == NASTY
    assert "**6 photos, the most unusual first**" in said(app)


def test_near_duplicates_stand_in_groups_of_which_all_but_the_first_are_selected(full):
    add_vectors(full, ANGLES | {"cats/b.jpg": 1, "dogs/e.jpg": 91})  # the thumbnails are all the same picture
    app = opened("Similar", find=["duplicates"])
    assert not app.exception
    assert tiles(app) == ["cats/a.jpg", "cats/b.jpg", "dogs/d.jpg", "dogs/e.jpg"]
    headings = [tile["heading"] for tile in component(app, "tiles")["tiles"]]
    assert headings == ["Group 1 · 2 photos", "", "Group 2 · 2 photos", ""]
    assert "2 groups of near-duplicates, 4 photos." in html(app)
    app.button(key="select_rest").click().run()
    assert app.session_state["_picks"].ids.to_pylist() == [id_of("cats/b.jpg"), id_of("dogs/e.jpg")]
    assert tiles(opened("Similar", find=["duplicates"], label=["dogs"])) == ["dogs/d.jpg", "dogs/e.jpg"]
    assert "No two of these photos" in said(opened("Similar", find=["duplicates"], path=["d.jpg"]))


def test_groups_across_splits_are_counted():
    rows = pd.DataFrame(
        {
            "group": [0, 0, 0, 1, 1],
            "split": pd.Categorical(["test", "train", None, "train", "train"]),
            "across": ["splits|labels"] * 3 + [""] * 2,
            "path": ["a", "=b", "c", "d", "e"],
            "position": range(5),
        }
    )
    said = duplicates_section.describe(rows)
    assert said == "2 groups of near-duplicates, 5 photos, 1 group across train and test."
    assert duplicates_section.export_groups(rows).decode().splitlines()[:3] == [
        "group,split,across,path",
        "0,test,splits|labels,a",
        "0,train,splits|labels,'=b",
    ]


@pytest.mark.parametrize("find", ["map", "similar", "duplicates", "outliers"])
@pytest.mark.parametrize("angles", [{"cats/a.jpg": 0}, dict.fromkeys(ANGLES, 30)])
def test_one_photo_and_vectors_that_are_all_the_same(full, find, angles):
    add_vectors(full, angles)
    app = opened("Similar", find=[find], similar=[id_of("cats/a.jpg")])
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", ["empty", "missing", "broken", "newer"])
def test_other_stores(page, request):
    request.getfixturevalue(page)
    app = opened("Similar")
    assert not app.exception
    assert said(app)


def test_embeddings_that_are_gone_are_said_and_others_can_be_chosen(placed):
    add_vectors(placed, {"cats/a.jpg": 0, "cats/b.jpg": 50, "dogs/d.jpg": 60}, "dino")
    app = opened("Similar", embeddings=["gone"])
    assert "embeddings that are not in this store: gone" in said(app).replace("\\", "")
    app.selectbox(key="w:embeddings").set_value("dino").run()
    assert asked(app, "embeddings") == ["dino"]
    assert len(points_of(app)) == 3


def test_an_uploaded_photo_is_looked_for_by_the_runs_own_model(full, monkeypatch):
    """With a vector at 95 degrees, as the model would give."""
    run = make_run_config().run_name
    turns = np.radians(list(ANGLES.values()))
    rows = vectors.make_table(
        [id_of(path) for path in ANGLES], vectors.to_unit_length(np.c_[np.cos(turns), np.sin(turns)])
    )
    store = Store(full)
    with store.atomic.register_writer():
        parquet_parts.append(store.atomic, store.embeddings_folder(store.run(run)), rows)
    asked_for = []

    def embed(data: bytes, path, run, kind: str):
        asked_for.append((data, run.run, kind))
        return np.array([np.cos(np.radians(95)), np.sin(np.radians(95))], np.float32), b"jpeg"

    monkeypatch.setattr(predictor, "embed", embed)
    app = opened("Similar", find=["similar"])
    app.file_uploader[0].upload("mine.jpg", photo_of("x"), "image/jpeg").run()
    assert not app.exception
    assert tiles(app)[0] in ("dogs/d.jpg", "dogs/e.jpg")
    assert "most similar to mine.jpg" in said(app).replace("\\", "")
    app.run()
    assert asked_for == [(photo_of("x"), run, "global")]  # once


def test_brought_embeddings_cannot_look_at_another_photo(placed):
    app = opened("Similar", find=["similar"])
    assert "only the model that made them" in said(app)


@pytest.mark.parametrize("find", ["duplicates", "outliers"])
def test_many_photos_are_compared_by_a_job_whose_result_is_shown(placed, monkeypatch, find):
    started = []
    monkeypatch.setattr(kept, "MAX_AT_ONCE", 0)
    monkeypatch.setattr(computing, "MAX_UNASKED_PHOTOS", 0)
    monkeypatch.setattr(Jobs, "start", lambda _, request: started.append(request))
    app = opened("Similar", find=[find])
    assert "6 photos are to be compared with each other" in said(app)
    app.button(key="compute").click().run()
    assert not app.exception
    run = make_run_config().run_name
    assert started == [SimilarityRequest(task=find, run=run, source="clip", title="clip (brought along)")]
    similarity.compute(Store(placed), find, run, source="clip", kind="global", on_share=lambda *_: None)
    app.run()
    assert "to be compared" not in said(app)
    assert "compute" not in [button.key for button in app.button]


def test_a_projection_that_is_not_computed_yet_is_offered(placed, monkeypatch):
    monkeypatch.setattr(computing, "MAX_UNASKED_PHOTOS", 0)
    monkeypatch.setattr(map_section, "available_methods", lambda: ("pca", "umap"))
    app = opened("Similar", projection=["umap"])
    assert not app.exception
    assert "6 photos are to be compared with each other" in said(app)
    app.selectbox(key="w:projection").set_value("pca").run()
    assert len(points_of(app)) == 6


def test_a_projection_whose_package_is_missing_is_a_sentence(placed, monkeypatch):
    monkeypatch.setattr(map_section, "available_methods", lambda: ("pca",))
    assert "UMAP is not installed on this server" in said(opened("Similar", projection=["umap"]))
