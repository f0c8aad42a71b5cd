"""Own columns on the pages: filters, chips, orders and links, the table, the Image page, and the form on Runs."""

import re
from datetime import date

import pytest

from dashboard.queries.own_columns import files
from seglib.store.own_columns import adding, log
from seglib.store.own_columns.options import ColumnOptions
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, id_of
from tests.dashboard.views.test_pages import asked, component, html, opened, photos_shown, said, send

NASTY_NAME = "</style><img src=x onerror=alert(1)> **b** :cat:"

CSV = """path;camera;iso;größe;taken;flash;note
cats/a.jpg;Nikon;100;0,5;2024-01-01;true;a very long text
cats/b.jpg;Köln & Co;200;1,25;2024-02-01 10:30;false;b
cats/c.jpg;Nikon;400;;2024-03-01;;c
dogs/d.jpg;;800;2;;true;
z.jpg;Canon;1;1;2024-01-01;true;
"""


def add(path, text: str, **options) -> None:
    store = Store(path)
    adding.keep_columns(store, adding.read_columns(store, text.encode(), "class.csv", ColumnOptions(**options)))


@pytest.fixture
def known(full):
    add(full, CSV, types={"note": "text"})
    return full


def widget(app, kind: str, label: str):
    return next(one for one in app.get(kind) if one.label == label)


# --- filters -----------------------------------------------------------------------------------------------------

FILTERED = {
    "camera=Nikon": (["cats/a.jpg", "cats/c.jpg"], "camera: Nikon"),
    "camera=": (None, "camera: (none)"),
    "iso=100..200": (["cats/a.jpg", "cats/b.jpg"], "iso: 100 to 200"),
    "iso=..200": (["cats/a.jpg", "cats/b.jpg"], "iso: up to 200"),
    "iso=400..": (["cats/c.jpg", "dogs/d.jpg"], "iso: 400 or more"),
    "größe=1..<2": (["cats/b.jpg"], "größe: 1 to below 2"),
    "taken=2024-02-01": (["cats/b.jpg"], "taken: 2024-02-01"),
    "taken=2024-02-01..": (["cats/b.jpg", "cats/c.jpg"], "taken: from 2024-02-01"),
    "taken=2024-01-01..2024-02-01T10:00": (["cats/a.jpg"], "taken: 2024-01-01 to 2024-02-01 10:00"),
    "flash=true": (["cats/a.jpg", "dogs/d.jpg"], "flash: true"),
    "note=LONG": (["cats/a.jpg"], "note: LONG"),
}


@pytest.mark.parametrize(("text", "found", "chip"), [(key, *rest) for key, rest in FILTERED.items()])
def test_a_filter_of_a_link_selects_and_is_said_in_words(known, text, found, chip):
    name, _, value = text.partition("=")
    app = opened("Explore", **{f"column__{name}": [value]})
    assert not app.exception
    assert app.button(key=f"chip:column.{name}").label.removesuffix(" :material/close:").replace("\\", "") == chip
    assert photos_shown(app) == (3 if found is None else len(found))
    assert asked(app, f"column.{name}") == [value]
    section = next(one for one in app.expander if one.label == "Your columns")
    assert section.proto.expanded


def test_each_kind_has_its_widget_and_a_choice_its_counts(known):
    app = opened("Explore", column__iso=["100..400"])
    assert widget(app, "slider", "iso").value == (100, 400)
    assert (widget(app, "slider", "größe").min, widget(app, "slider", "größe").max) == (0.5, 2.0)
    assert widget(app, "slider", "taken").value == (date(2024, 1, 1), date(2024, 3, 1))
    assert widget(app, "text_input", "note").value == ""
    camera = widget(app, "button_group", "camera")
    assert [one.content.replace("\\", "") for one in camera.proto.options] == ["Köln & Co", "Nikon", "(none)"]
    numbers = re.findall(r"st-key-w-column-\w+ .*?content: ' (\d+)'", html(app))
    assert numbers == ["1", "2", "0", "1", "1", "1"]  # of those with 100 to 400: camera, then flash
    widget(app, "slider", "iso").set_range(200, 800).run()
    assert asked(app, "column.iso") == ["200.."]
    widget(app, "slider", "iso").set_range(100, 800).run()
    assert "column.iso" not in app.query_params
    widget(app, "slider", "taken").set_range(date(2024, 1, 1), date(2024, 2, 1)).run()
    assert asked(app, "column.taken") == ["..2024-02-01"]
    assert photos_shown(app) == 2
    widget(app, "text_input", "note").set_value("b").run()
    assert photos_shown(app) == 1
    assert not app.exception


def test_what_a_link_says_of_a_column_that_is_not_there_is_left_out_with_a_sentence(known):
    app = opened("Explore", column__lens=["x"], column__iso=["many"], sort=["-column.lens"])
    assert not app.exception
    text = said(app).replace("\\", "")
    assert "There is no column 'lens'; known are: camera, iso" in text
    assert "column.iso is a range of numbers such as 100..400, not 'many'." in text
    assert "There is no column 'lens' to sort by" in text
    assert photos_shown(app) == 6
    assert not {"column.lens", "column.iso", "sort"} & {*app.query_params}


def test_many_columns_are_filtered_by_those_that_are_chosen(full):
    add(full, f"path,{','.join(f'c{n}' for n in range(30))}\ncats/a.jpg{',1' * 30}\ncats/b.jpg{',2' * 30}\n")
    app = opened("Explore", column__c7=["1..1"])
    assert [one.label for one in app.slider if one.label.startswith("c")] == ["c7"]
    widget(app, "multiselect", "Filter by").select("column.c9").run()
    assert [one.label for one in app.slider if one.label.startswith("c")] == ["c7", "c9"]


def test_names_that_are_html_or_markdown_stay_text(full):
    add(full, f"path,{NASTY_NAME}\ncats/a.jpg,{NASTY_NAME}\ncats/b.jpg,x\n", types={NASTY_NAME: "category"})
    app = opened("Explore", **{f"column__{NASTY_NAME}": [NASTY_NAME], "show": ["table"]})
    assert not app.exception
    assert photos_shown(app) == 1
    assert "<img src=x" not in html(app)
    assert not re.search(r"(?<!\\)\*\*b", said(app))
    app = opened("Image", image=[id_of("cats/a.jpg")])
    assert "<img src=x" not in html(app)
    app = opened("Runs")
    assert "<img src=x" not in html(app)
    assert not app.exception


# --- order, table, image -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("column.iso", "cats/a.jpg"),
        ("-column.iso", "dogs/d.jpg"),
        ("column.camera", "cats/b.jpg"),
        ("-column.taken", "cats/c.jpg"),
        ("column.flash", "cats/b.jpg"),
        ("-column.größe", "dogs/d.jpg"),
        ("-column.note", "cats/c.jpg"),
    ],
)
def test_photos_are_sorted_by_any_column_those_without_a_value_last(known, sort, first):
    app = opened("Explore", sort=[sort], show=["table"])
    rows = component(app, "rows")["rows"]
    assert rows[0]["name"].endswith(first.rpartition("/")[2])
    assert len(rows) == len(PIXELS)
    assert app.selectbox(key="w:sort").value == sort


def test_the_list_of_orders_offers_them_in_words(known):
    labels = opened("Explore").selectbox(key="w:sort").options
    assert "iso: smallest first" in labels
    assert "taken: latest first" in labels
    assert "camera: A to Z" in labels


def test_the_table_shows_them_and_sorts_by_their_headings(known):
    app = opened("Explore", show=["table"])
    table = component(app, "rows")
    titles = [column["title"] for column in table["columns"]]
    start = titles.index("camera")
    assert titles[start : start + 6] == ["camera", "iso", "größe", "taken", "flash", "note"]
    row = next(row for row in table["rows"] if row["name"].endswith("b.jpg"))
    assert row["cells"][start : start + 6] == ["Köln & Co", "200", "1.25", "2024-02-01 10:30", "false", "b"]
    send(app, "table", "sort", start + 1)
    assert asked(app, "sort") == ["column.iso"]


def test_the_image_page_shows_the_values_of_a_photo(known):
    text = html(opened("Image", image=[id_of("cats/c.jpg")]))
    assert "Your columns" in text
    assert "<th scope='row'>camera</th><td>Nikon</td>" in text
    assert "größe" not in text  # this photo has none
    assert "Your columns" not in html(opened("Image", image=[id_of("dogs/e.jpg")]))


def test_a_store_without_columns_says_nothing_of_them(full):
    app = opened("Explore")
    assert "Your columns" not in [one.label for one in app.expander]
    assert "Your columns" not in html(app)


# --- the form on Runs --------------------------------------------------------------------------------------------


def upload(app, text: str | bytes, name: str = "class.csv"):
    data = text.encode() if isinstance(text, str) else text
    number = app.session_state["columns:round"]
    return app.file_uploader(key=f"columns:file:{number}").upload(name, data, "text/csv").run()


def test_a_file_is_shown_before_it_is_added_then_undone_and_removed(full):
    app = upload(opened("Runs"), CSV)
    assert not app.exception
    text = said(app).replace("\\", "")
    assert "5 rows about 4 photos, found by path in the column path. 1 row fit no photo" in text
    assert "The commas in 'größe' are read as decimal commas." in text
    assert "<th scope='row'>iso</th><td>whole numbers</td><td>4</td><td>4</td><td>100, 200, 400</td>" in html(app)
    assert not log.list_columns(Store(full))
    app.button(key="columns:add").click().run()
    assert not app.exception
    assert "6 columns of 4 photos added" in app.success[0].value
    assert [one.name for one in log.list_columns(Store(full))] == ["camera", "iso", "größe", "taken", "flash", "note"]
    assert not app.file_uploader(key="columns:file:1").value
    app.button(key="column:remove:iso").click().run()
    assert "iso" not in [one.name for one in log.list_columns(Store(full))]
    assert app.button(key="columns:undo").label == "Undo: remove iso"
    app.button(key="columns:undo").click().run()
    assert "iso" in [one.name for one in log.list_columns(Store(full))]
    app.button(key="columns:undo").click().run()
    assert not log.list_columns(Store(full))
    assert not [one for one in app.button if one.key == "columns:undo"]


def test_what_fits_two_readings_is_a_sentence_and_the_options_decide(full):
    app = upload(opened("Runs"), "path,taken\ncats/a.jpg,03/04/2024\n")
    assert "may begin with the day or with the month: say dates day-first" in said(app).replace("\\", "")
    assert not [one for one in app.button if one.key == "columns:add"]
    app.selectbox(key="columns:dates:0").set_value("day-first").run()
    assert "2024-04-03" in html(app)
    app.multiselect(key="columns:take:text:0").select("taken").run()
    assert "<td>text</td>" in html(app)
    app.button(key="columns:add").click().run()
    assert [one.type for one in log.list_columns(Store(full))] == ["text"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (b"PAR1", "Parquet file cannot be read"),
        (b"path,x\nz.jpg,1\n", "None of the 1 rows fits a photo|No column of the file names photos"),
        (b"path,x\n" + b"cats/a.jpg,1\n" * 2 + b"cats/a.jpg,2\n", "are about the same photo"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(full, data, sentence):
    app = upload(opened("Runs"), data)
    assert not app.exception
    assert re.search(sentence, said(app).replace("\\", ""))
    assert not log.list_columns(Store(full))


def test_a_file_that_is_too_large_names_the_command(full, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    app = upload(opened("Runs"), CSV)
    assert "seglib columns add" in said(app).replace("\\", "")


def test_damaged_columns_are_a_sentence_on_every_page_and_can_be_removed(known):
    (folder,) = Store(known).column_values_folders()
    (part,) = folder.iterdir()
    part.write_bytes(b"damaged")
    app = opened("Explore")
    assert not app.exception
    assert "remove its columns and add their file again" in said(app).replace("\\", "")
    app = opened("Runs")
    for name in ("camera", "iso", "größe", "taken", "flash", "note"):
        app.button(key=f"column:remove:{name}").click().run()
    assert photos_shown(opened("Explore")) == 6
