"""What comes back from the browser is checked, since it may be anything."""

import pytest

from dashboard.components import base
from dashboard.components import chart as chart_component
from dashboard.components import gallery as gallery_component
from dashboard.components import live as live_component
from dashboard.components import matrix as matrix_component
from dashboard.components.gallery import MAX_SHOWN_CLASSES, GalleryLegend, GalleryLook, GalleryTile
from dashboard.components.photos import strip as strip_component
from dashboard.components.photos import table as table_component
from dashboard.components.run_table import RunAction, RunRow, read_action


@pytest.fixture
def sent(monkeypatch):
    """Pretend that the component `c` sent this."""

    def send(name: str, value: object) -> None:
        monkeypatch.setattr(base.st, "session_state", {"c": {name: value}})

    return send


def test_a_look(sent):
    sent("look", {"overlay": False, "opacity": 20, "size": 200})
    assert gallery_component.read_look("c") == GalleryLook(False, 20, 200)


@pytest.mark.parametrize("value", [None, {}, [], "x", {"overlay": True, "opacity": "much", "size": 1}, {"overlay": 1}])
def test_a_look_that_makes_no_sense(sent, value):
    sent("look", value)
    assert gallery_component.read_look("c") is None
    assert gallery_component.read_look("nobody") is None


def test_a_frame(sent):
    sent("kept", "data:image/jpeg;base64,MTIz")
    assert live_component.read_frame("c", 3) == b"123"
    assert live_component.read_frame("c", 2) is None


@pytest.mark.parametrize(
    "value",
    [None, 3, {}, "", "MTIz", "data:image/png;base64,MTIz", "data:image/jpeg;base64,", "data:image/jpeg;base64,é"],
)
def test_a_frame_that_makes_no_sense(sent, value):
    sent("kept", value)
    assert live_component.read_frame("c", 100) is None


def test_a_cell(sent):
    sent("cell", {"row": 1, "column": 2})
    assert matrix_component.read_cell("c", 2, 3) == (1, 2)


@pytest.mark.parametrize(
    "value", [None, "x", {"row": 0}, {"row": -1, "column": 0}, {"row": 0, "column": 3}, {"row": [], "column": 1}]
)
def test_a_cell_that_is_not_there(sent, value):
    sent("cell", value)
    assert matrix_component.read_cell("c", 2, 3) is None


def test_an_action_of_a_run():
    actions = (RunAction(id="explore", label="Explore"), RunAction(id="again", label="Run again", why_not="No model."))
    row = RunRow(
        run="r",
        title="",
        model="",
        size="",
        photos="",
        datasets="",
        used="",
        speed="",
        disk="",
        state="",
        actions=actions,
    )
    assert read_action({"run": "r", "action": "explore"}, [row]) == ("r", "explore")
    senseless = [None, "x", [], {}, {"run": ["r"], "action": {}}]
    for sent in [*senseless, {"run": "r", "action": "again"}, {"run": "s", "action": "explore"}, {"run": "r"}]:
        assert read_action(sent, [row]) is None


def test_marks(sent):
    sent("marks", ["label=cats", 3])
    assert chart_component.read_marks("c") == ["label=cats", 3]
    sent("marks", [])
    assert chart_component.read_marks("c") == []


@pytest.mark.parametrize("value", [None, "x", 3, {"points": []}])
def test_marks_that_make_no_sense(sent, value):
    sent("marks", value)
    assert chart_component.read_marks("c") is None


def test_picks(sent):
    sent("picks", {"n": 3, "shown": ["a", "b"], "picked": ["b"]})
    assert gallery_component.read_picks("c") == (3, ["a", "b"], ["b"])
    sent("picks", {"n": 4, "none": True})
    assert gallery_component.read_picks("c") == (4, None, [])


@pytest.mark.parametrize(
    "value", [None, "x", [], {"n": 1}, {"n": "many", "shown": [], "picked": []}, {"n": 1, "shown": 5, "picked": []}]
)
def test_picks_that_make_no_sense(sent, value):
    sent("picks", value)
    assert gallery_component.read_picks("c") is None


def test_a_tile_that_was_opened(sent):
    sent("open", "a" * 32)
    assert gallery_component.read_opened_id("c") == "a" * 32
    sent("open", "../a")
    assert gallery_component.read_opened_id("c") is None


def test_a_row_and_a_heading_of_a_table(sent):
    sent("open", "a" * 32)
    assert table_component.read_opened_id("c") == "a" * 32
    sent("sort", 2)
    assert table_component.read_sorted_column("c", 3) == 2
    for value in (3, -1, True, "2", None, [2], 1.0):
        sent("sort", value)
        assert table_component.read_sorted_column("c", 3) is None


def test_a_photo_and_a_group_of_a_strip(sent):
    sent("open", {"group": 1, "id": "a" * 32})
    assert strip_component.read_opened("c", 2) == (1, "a" * 32)
    for value in (
        None,
        "x",
        {},
        {"group": 2, "id": "a" * 32},
        {"group": 0, "id": "../a"},
        {"group": "0", "id": "a" * 32},
    ):
        sent("open", value)
        assert strip_component.read_opened("c", 2) is None
    sent("all", 0)
    assert strip_component.read_group("c", 1) == 0
    sent("all", 1)
    assert strip_component.read_group("c", 1) is None


def tile_with(*bar: tuple[str, float]) -> GalleryTile:
    texts = dict.fromkeys(("id", "name", "alt", "found", "share", "aside", "warning", "note"), "")
    return GalleryTile(photo=None, mask=None, aspect=1.0, bar=[(*part, "#000000") for part in bar], tags=[], **texts)


def test_a_legend_begins_with_the_classes_that_cover_most_and_hides_the_absent():
    colours = {"background": "#000000", "sky": "#000001", "cat": "#000002", "dog": "#000003", "cow": "#000004"}
    legend = GalleryLegend.of_classes(colours, [tile_with(("cat", 0.2), ("sky", 0.1)), tile_with(("sky", 0.3))])
    assert [name for name, _ in legend.shown] == ["sky", "cat"]
    assert legend.more == [("dog", "#000003"), ("cow", "#000004")]


def test_a_legend_marks_classes_that_the_model_was_never_trained_on():
    colours = dict.fromkeys(("background", "cat", "boat"), "#000000")
    legend = GalleryLegend.of_classes(colours, [tile_with(("cat", 0.2))], ("boat",))
    assert [name for name, _ in (*legend.shown, *legend.more)] == ["cat", "boat (not trained)"]


def test_a_legend_of_many_present_classes_shows_the_largest():
    names = [f"class {number}" for number in range(150)]
    tile = tile_with(*((name, (150 - number) / 20_000) for number, name in enumerate(names)))
    legend = GalleryLegend.of_classes(dict.fromkeys(names, "#000000"), [tile])
    assert [name for name, _ in (*legend.shown, *legend.more)] == names
    assert len(legend.shown) == MAX_SHOWN_CLASSES
