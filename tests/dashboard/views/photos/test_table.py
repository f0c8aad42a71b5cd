"""The table of Explore: a row per photo, sorted by its headings, a page at a time."""

import json

from seglib.store import tags
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, fill_store, id_of
from tests.dashboard.views.test_pages import asked, component, opened, send


def cells(table: dict) -> list[dict[str, str]]:
    """Per row: column -> text."""
    titles = [column["title"] for column in table["columns"]]
    return [dict(zip(titles, row["cells"], strict=True)) for row in table["rows"]]


def test_the_table_instead_of_the_gallery(full):
    tags.tag(Store(full), [id_of("cats/b.jpg")], "<b>look</b>")
    app = opened("Explore", show=["table"], label=["cats"])
    assert not app.exception
    table = component(app, "columns")
    first, second, third = table["rows"]
    assert [row["name"] for row in table["rows"]] == ["cats/a.jpg", "cats/b.jpg", "cats/c.jpg"]
    assert first["photo"].startswith("/media-api/thumb/")
    assert first["mask"].startswith("/media-api/overlay/")
    assert first["href"].endswith(f"image={id_of('cats/a.jpg')}")
    assert (first["warning"], second["warning"]) == ("", "folder cats, model dog")
    assert (second["tags"], third["tags"]) == (["<b>look</b>"], [])
    shown = cells(table)[2]
    assert (shown["Data set"], shown["Folder"], shown["Confidence"]) == ("photos", "cats", "0.80")
    assert (shown["cat"], shown["person"]) == ("20\xa0%", "10\xa0%")
    assert "sofa" not in shown  # no photo of this page shows one
    assert {"Entropy", "Undecided pixels"}.isdisjoint(shown)  # one measure of certainty
    assert str(full.parent) not in json.dumps(table)


def test_the_table_is_sorted_by_its_headings(full):
    app = opened("Explore", show=["table"], page=["1"])
    titles = [column["title"] for column in component(app, "columns")["columns"]]
    for heading, asked_for, first in (
        ("Confidence", "confidence", "cats/b.jpg"),
        ("Confidence", "-confidence", "dogs/e.jpg"),
        ("person", "-share", NASTY),
        ("person", "share", "cats/a.jpg"),
    ):
        send(app, "table", "sort", titles.index(heading))
        assert asked(app, "sort") == [asked_for]
        table = component(app, "columns")
        assert table["rows"][0]["name"] == first
        titles = [column["title"] for column in table["columns"]]
        orders = {column["title"]: column["order"] for column in table["columns"] if column["order"]}
        assert orders == {heading: "descending" if asked_for[0] == "-" else "ascending"}
    assert asked(app, "class") == ["person"]
    assert "Entropy" in cells(component(opened("Explore", show=["table"], sort=["entropy"]), "columns"))[0]


def test_pages_of_the_table(tmp_path, serve):
    fill_store(tmp_path / "store", pixels={f"cats/{n:03}.jpg": {"cat": n % 100} for n in range(100)})
    serve(tmp_path / "store")
    app = opened("Explore", show=["table"], page=["3"])
    names = [row["name"] for row in component(app, "columns")["rows"]]
    assert names == [f"cats/{n:03}.jpg" for n in range(96, 100)]
    app.pagination(key="w:page").set_value(2).run()
    assert len(component(app, "columns")["rows"]) == 48
