"""The chart of one's own choice on Explore, and the buttons for photos of doubtful quality."""

import json
from datetime import datetime

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from seglib.data.photo_measures.measures import VERSION
from seglib.fileio import parquet_parts
from seglib.store.photo_measures.rows import SCHEMA
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, fill_store, id_of
from tests.dashboard.views.test_pages import asked, opened, photos_shown, said, send

BRIGHTNESS = dict(zip(PIXELS, (0.1, 0.2, 0.5, 0.5, 0.9, None), strict=True))


@pytest.fixture
def measured(tmp_path, serve) -> Store:
    """The six files; five are measured, the first of which is dark, and three have a date."""
    fill_store(tmp_path / "store")
    store = Store(tmp_path / "store")
    rows = [
        {
            **dict.fromkeys(SCHEMA.names),
            "image_id": id_of(path),
            "version": VERSION,
            "gps": "off",
            "brightness": brightness,
            "highlights": brightness,
            "sharpness": 0.5,
            "camera": "Canon" if brightness < 0.5 else "Nikon",
            "taken": datetime(2024, place + 1, 1) if place < 3 else None,
        }
        for place, (path, brightness) in enumerate(BRIGHTNESS.items())
        if brightness is not None
    ]
    parquet_parts.append(store.atomic, store.photo_measures_folder(), pa.Table.from_pylist(rows, SCHEMA))
    serve(store.path)
    return store


def drawn(**query: list[str]) -> AppTest:
    """Explore with the chart; above a table, since the first gallery of a visit comes before its charts."""
    return opened("Explore", show=["table"], charts=["own"], **query)


def chart(app: AppTest) -> dict:
    every = [json.loads(e.proto.json) for e in app.get("bidi_component") if '"figure"' in e.proto.json]
    return next(data for data in every)


def test_the_first_chart_is_a_histogram_of_brightness(measured):
    app = drawn()
    assert not app.exception
    assert chart(app)["alt"] == "Histogram: brightness of 5 photos."
    assert "n = 5 photos. 1 photo without a value is left out." in said(app).replace("\\", "")


def test_a_store_without_measures_begins_with_confidence(full):
    app = drawn()
    assert chart(app)["alt"] == "Histogram: Confidence of 6 photos."
    assert not [pills for pills in app.get("button_group") if pills.label == "Image quality"]


def test_choices_are_kept_in_the_address(measured):
    app = drawn()
    app.selectbox(key="w:chart_kind").set_value("box").run()
    assert "needs a field along y" in said(app)
    app.selectbox(key="w:chart_x").set_value("column.camera").run()
    app.selectbox(key="w:chart_y").set_value("share.cat").run()
    app.selectbox(key="w:chart_colour").set_value("label").run()
    assert chart(app)["alt"] == "Boxes: camera, Share of cat, Folder of 6 photos."
    for key, value in {"kind": "box", "x": "column.camera", "y": "share.cat", "chart-colour": "label"}.items():
        assert asked(app, key) == [value]


def test_a_click_on_a_bar_filters_by_the_range_of_an_own_column(measured):
    app = drawn(x=["column.brightness"])
    send(app, "chart:own", "marks", ["column.brightness=0.1..%3C0.12"])
    assert photos_shown(app) == 1
    assert asked(app, "column.brightness") == ["0.1..<0.12"]
    assert chart(app)["alt"] == "Histogram: brightness of 5 photos.", "its own filter does not change its bars"


def test_a_box_over_points_filters_both_axes(measured):
    app = opened(
        "Explore", show=["table"], charts=["own"], kind=["scatter"], x=["column.taken"], y=["column.brightness"]
    )
    assert chart(app)["boxes"]
    figure = json.loads(chart(app)["figure"])
    marks = [custom[0] for custom in figure["data"][0]["customdata"]]
    assert len(marks) == 3
    send(app, "chart:own", "marks", marks[:2])
    assert photos_shown(app) == 2


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"x": ["column.gone"]}, "no field 'column.gone' for a chart"),
        ({"x": ["path"]}, "no field 'path' for a chart"),
        ({"kind": ["scatter"], "x": ["label"], "y": ["confidence"]}, "Folder is neither"),
        ({"kind": ["box"], "x": ["label"], "y": ["split"]}, "Split has no quantiles"),
        ({"kind": ["pie"]}, "kind=pie was left out of the link"),
    ],
)
def test_what_makes_no_chart_is_a_sentence(measured, query, sentence):
    app = drawn(**query)
    assert not app.exception
    assert sentence in said(app).replace("\\", "")


def test_what_a_link_says_wrong_is_still_said_when_the_charts_are_drawn(measured):
    app = opened("Explore", charts=["own"], kind=["pie"])
    assert "kind=pie was left out of the link" in said(app).replace("\\", "")
    app = send(app, "drawn", "drawn", True)
    assert app.session_state["_can_chart"]
    assert said(app).replace("\\", "").count("kind=pie was left out of the link") == 1


def test_a_ready_filter_is_offered_where_photos_pass_it_and_sets_an_ordinary_filter(measured):
    app = opened("Explore")
    (pills,) = (group for group in app.get("button_group") if group.label == "Image quality")
    assert pills.options == ["Dark"]
    pills.set_value(["Dark"]).run()
    assert photos_shown(app) == 2
    assert asked(app, "column.highlights") == ["..<0.32"]
    (pills,) = (group for group in app.get("button_group") if group.label == "Image quality")
    pills.set_value([]).run()
    assert photos_shown(app) == 6
