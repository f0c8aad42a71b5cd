"""The photos of Overview: doubtful, typical and contradicting ones, and where they lead."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.formatting import escape_markdown
from tests.dashboard.conftest import NASTY, fill_store, id_of
from tests.dashboard.views.test_pages import asked, component, opened, send


def strip(app: AppTest) -> dict[str, dict]:
    return {group["title"]: group for group in component(app, "groups")["groups"]}


def test_overview_shows_doubtful_typical_and_contradicting_photos(full):
    groups = strip(opened("Overview"))
    assert list(groups) == ["Most doubtful", "Most typical", "Contradictions"]
    found = {title: [tile["id"] for tile in group["tiles"]] for title, group in groups.items()}
    assert found == {
        "Most doubtful": [id_of(name) for name in ("cats/b.jpg", NASTY, "cats/c.jpg", "cats/a.jpg")],
        "Most typical": [id_of(name) for name in ("cats/a.jpg", "cats/c.jpg")],
        "Contradictions": [id_of("cats/b.jpg")],
    }
    assert groups["Most typical"]["note"] == "with cat, most confident first"
    assert groups["Contradictions"]["more"] == "Show all 1"
    (wrong,) = groups["Contradictions"]["tiles"]
    assert (wrong["caption"], wrong["warning"]) == ("folder cats, model dog", True)


@pytest.mark.parametrize(
    ("group", "where", "first"),
    [
        (0, {"sort": "confidence"}, "cats/b.jpg"),
        (1, {"sort": "-confidence", "share.cat": "0.005..1", "class": "cat"}, "cats/a.jpg"),
        (2, {"sort": "-confidence", "agreement": "contradicts"}, "cats/b.jpg"),
    ],
)
def test_all_photos_of_a_group_are_shown_in_explore_as_they_stood_in_it(full, group, where, first):
    app = send(opened("Overview", show=["table"]), "strip", "all", group)
    assert app.title[0].value == "Explore"
    assert {key: asked(app, key)[0] for key in app.query_params if key != "run"} == where
    assert component(app, "tiles")["tiles"][0]["name"] == first


def test_a_photo_of_the_strip_opens_in_the_order_of_its_group(full):
    app = send(opened("Overview"), "strip", "open", {"group": 2, "id": id_of("cats/b.jpg")})
    assert app.title[0].value == escape_markdown("cats/b.jpg")  # the page of the photo
    assert asked(app, "image") == [id_of("cats/b.jpg")]
    assert asked(app, "agreement") == ["contradicts"]


def test_the_strip_keeps_to_the_filters_and_to_what_the_run_knows(tmp_path, full, serve):
    assert list(strip(opened("Overview", label=["dogs"]))) == ["Most doubtful", "Most typical"]
    (typical,) = strip(opened("Overview", share__cat=["0.3..0.6"]))["Most typical"]["tiles"]
    assert typical["id"] == id_of("cats/a.jpg")
    fill_store(tmp_path / "masks", measured=False)
    serve(tmp_path / "masks")
    groups = strip(opened("Overview"))
    assert "Most doubtful" not in groups
    assert groups["Most typical"]["note"] == "with cat, largest share first"
