"""The text box for an expression: what is applied, where it counts, and what is said of a mistake."""

from seglib.query.filters import Filters
from seglib.store import tags
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of
from tests.dashboard.views.test_pages import asked, component, opened, photos_shown, said, send

WHERE = "share.cat > 10% or label = dogs"


def box(app) -> dict:
    return component(app, "vocabulary")


def test_an_expression_is_applied_in_its_canonical_form_and_removed_by_its_chip(full):
    app = send(opened("Explore"), "expression", "applied", "share.cat>0.3  OR label=dogs")
    assert not app.exception
    assert photos_shown(app) == 3
    assert asked(app, "where") == ["share.cat > 0.3 or label = dogs"]
    assert (box(app)["text"], box(app)["mistake"]) == ("share.cat > 0.3 or label = dogs", None)
    chip = app.button(key="chip:where")
    assert "Expression: share.cat" in chip.label.replace("\\", "")
    chip.click().run()
    assert photos_shown(app) == 6
    assert box(app)["text"] == ""


def test_a_mistake_changes_nothing_and_is_said_with_its_place(full):
    app = send(opened("Explore", where=["label = cats"]), "expression", "applied", "share.cat > 0 and lable = dogs")
    assert not app.exception
    assert photos_shown(app) == 3
    assert asked(app, "where") == ["label = cats"]
    assert box(app)["text"] == "share.cat > 0 and lable = dogs"
    wrong = box(app)["mistake"]
    assert "did you mean label?" in wrong["sentence"]
    assert (wrong["start"], wrong["end"]) == (18, 23)
    app.button(key="chip:where").click().run()  # the draft was about what is no longer there
    assert box(app)["mistake"] is None
    app = send(app, "expression", "applied", "label = dogs")
    assert (photos_shown(app), box(app)["mistake"]) == (2, None)
    app = send(app, "expression", "applied", " ")
    assert photos_shown(app) == 6


def test_what_the_browser_sends_is_not_trusted(full):
    app = opened("Explore")
    for sent in (None, 3, {"text": "label = cats"}, ["label = cats"]):
        app = send(app, "expression", "applied", sent)
        assert not app.exception
        assert photos_shown(app) == 6
    app = send(app, "expression", "applied", "label = \ud800")
    assert not app.exception
    assert "half of a character" in box(app)["mistake"]["sentence"]
    app = send(app, "expression", "applied", "(" * 100_000)
    assert not app.exception
    assert "at most" in box(app)["mistake"]["sentence"]


def test_a_link_with_an_expression_that_does_not_fit_says_so(full):
    app = opened("Explore", where=["column.camera = Canon and label = cats"], label=["cats"])
    assert not app.exception
    assert "The expression column.camera = Canon and label = cats was left out: At 'column.camera'" in said(
        app
    ).replace("\\", "")
    assert photos_shown(app) == 3
    app = opened("Explore", where=["label ="])
    assert "where=label = was left out of the link: At the end (column 8)" in said(app).replace("\\", "")


def test_it_is_one_more_condition_for_every_figure_of_every_page(full):
    for page in ("Overview", "Explore"):
        app = opened(page, where=[WHERE], label=["cats", "dogs"])
        assert not app.exception
        assert photos_shown(app) == 4  # a and c of cats, d and e of dogs
    assert Filters({"where": WHERE}).encode() in component(app, "command")["command"]


def test_tags_in_an_expression_are_those_of_now(full):
    app = opened("Explore", where=["not tag = good"])
    assert photos_shown(app) == 6
    tags.tag(Store(full), [id_of("cats/a.jpg")], "good")
    assert photos_shown(app.run()) == 5
    assert "good" in next(field for field in box(app)["vocabulary"]["fields"] if field["name"] == "tag")["values"]


def test_names_that_no_photo_has_are_noted_beneath(full):
    app = opened("Explore", where=["label = Dogs or label = cats"])
    assert box(app)["hints"] == ["No photo has label = Dogs; did you mean dogs?"]
    assert photos_shown(app) == 3


def test_the_vocabulary_is_as_it_is_typed(tmp_path, serve):
    pixels = {"my dogs/a.jpg": {"dining table": 9}, "cats/b.jpg": {}}
    fill_store(tmp_path / "store", pixels=pixels, classes=("background", "cat", "dining table"))
    serve(tmp_path / "store")
    words = box(opened("Explore"))["vocabulary"]
    fields = {field["name"]: field for field in words["fields"]}
    assert fields["label"]["values"] == ["cats", '"my dogs"']
    assert fields["present"]["kind"] == "present"
    assert '"dining table"' in words["classes"]
    assert "share.cat" not in fields
    assert photos_shown(opened("Explore", where=["present = 'dining table'"])) == 1
