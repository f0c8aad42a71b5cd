"""Picking photos, tagging them and taking it back, through the page as Streamlit drives it."""

import pandas as pd
import pytest
import streamlit as st

from dashboard.queries import exports
from dashboard.server import photo_zip
from dashboard.state.picked_photos import Picks
from seglib.query.columns import split_tags
from seglib.query.filters import Filters
from seglib.store import tags
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, id_of, make_run_config
from tests.dashboard.views.test_pages import component, html, opened, said

CATS = ["cats/a.jpg", "cats/b.jpg", "cats/c.jpg"]


def ids(*paths: str) -> list[str]:
    return [id_of(path) for path in paths]


def with_picks(*paths: str, **query: list[str]):
    app = opened("Explore", **query)
    app.session_state["_picks"] = Picks().union(pd.Series(ids(*paths), dtype="str"))
    return app.run()


def tag(app, name: str):
    box = app.selectbox(key="w:new_tag")
    if name not in box.options:  # typed, which the test driver cannot do
        box.options.append(name)
    return box.set_value(name).run()


def present(store) -> dict[str, list[str]]:
    return {str(i): split_tags(joined) for i, joined in tags.tags_by_image(Store(store)).items()}


def test_the_bar_is_there_only_when_there_is_something_to_do(full):
    app = opened("Explore")
    assert "selected" not in said(app)
    assert "undo" not in [button.key for button in app.button]
    assert "**1 photo selected**" in said(with_picks("cats/a.jpg"))


def test_picks_stay_while_filters_change_and_the_bar_says_so(full):
    app = with_picks(*CATS, label=["dogs"])
    assert "**3 photos selected**, 3 of them outside the filters" in said(app)
    app = with_picks(*CATS, "dogs/d.jpg", label=["dogs"])
    assert "**4 photos selected**, 3 of them outside the filters" in said(app)
    assert component(app, "tiles")["picks"] == {"n": 0, "count": 4, "on": ids("dogs/d.jpg")}
    app.button(key="clear_picks").click().run()
    assert "selected" not in said(app)
    assert component(app, "tiles")["picks"]["count"] == 0


@pytest.mark.parametrize("name", ["keep", NASTY[:60], "|"])
def test_tag_and_undo(full, name):
    app = tag(with_picks(*CATS[:2]), name)
    assert not app.exception
    if name == "|":
        assert "A tag cannot contain" in said(app).replace("\\", "")
        assert present(full) == {}
        return
    name = tags.normalise_tag(name)
    assert present(full) == {image_id: [name] for image_id in ids(*CATS[:2])}
    assert [tile["tags"] for tile in component(app, "tiles")["tiles"]][:3] == [[name], [name], []]
    assert app.selectbox(key="w:new_tag").value is None  # ready for the next one
    app.button(key="undo").click().run()
    assert present(full) == {}
    assert "undo" not in [button.key for button in app.button]


def test_undo_goes_back_step_by_step_and_leaves_what_others_did(full):
    app = tag(tag(with_picks(*CATS[:2]), "one"), "two")
    tags.tag(Store(full), ids("dogs/d.jpg"), "theirs")
    app.button(key="undo").click().run()
    app.button(key="undo").click().run()
    assert present(full) == {id_of("dogs/d.jpg"): ["theirs"]}


def test_a_tag_is_taken_off(full):
    tags.tag(Store(full), ids(*CATS), "keep")
    app = with_picks(*CATS[:2], "dogs/d.jpg")
    assert app.menu_button(key="remove_tag").options == ["keep · 2"]
    app.menu_button(key="remove_tag").click("keep").run()
    assert present(full) == {id_of(CATS[2]): ["keep"]}


def test_what_changes_nothing_is_said_and_cannot_be_undone(full):
    tags.tag(Store(full), ids(*CATS), "keep")
    app = tag(with_picks(*CATS), "keep")
    assert "All of them already have this tag" in said(app)
    assert "undo" not in [button.key for button in app.button]
    assert "All of them" not in said(app.run())


def test_what_was_pruned_cannot_be_undone_and_says_so(full):
    from seglib.maintenance import prune

    app = tag(tag(with_picks(*CATS), "keep"), "other")
    tags.undo(Store(full))
    prune.prune(Store(full))
    app.run()
    app.button(key="undo").click().run()
    assert "already undone" in said(app)
    assert not app.exception


def test_a_store_that_cannot_be_written_is_a_sentence(full, monkeypatch):
    app = with_picks(*CATS)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret/place")

    monkeypatch.setattr("seglib.fileio.parquet_parts.append", refuse)
    app = tag(app, "keep")
    assert "The store cannot be written" in said(app)
    assert "secret" not in said(app)
    assert not app.exception


@pytest.mark.parametrize("kind", ["csv", "list"])
def test_the_export_of_the_picks_holds_just_them(full, kind):
    picks, run = Picks().union(pd.Series(ids("cats/a.jpg", "dogs/e.jpg"))), make_run_config().run_name
    rows = (
        exports.export_list(full, run, Filters(), picks)
        if kind == "list"
        else exports.export_rows(full, run, Filters(), kind, picks)
    )
    assert rows.decode().count("\n") == 3
    assert b"cats/a.jpg" in rows
    assert b"cats/b.jpg" not in rows


def test_what_is_picked_is_exported_under_its_own_name(full, monkeypatch):
    offered = []
    monkeypatch.setattr(st, "download_button", lambda _, *, file_name, **__: offered.append(file_name))
    app = with_picks("cats/a.jpg", "dogs/e.jpg", label=["cats"])
    names = ["photos-picked.csv", "photos-picked-everything.csv", "photos-picked-everything.parquet"]
    assert [name for name in offered if "picked" in name] == names * (offered.count(names[0]))
    (link,) = {part for part in html(app).split("'") if "photos.zip?picked=" in part}
    key = link.partition("picked=")[2].partition("&")[0]
    assert photo_zip.recall_ids(key).to_pylist() == ids("cats/a.jpg", "dogs/e.jpg")


def test_all_in_the_filter_are_picked_on_every_page(tmp_path, serve):
    from types import SimpleNamespace

    from dashboard.queries import source
    from dashboard.queries.source import RunSource
    from dashboard.views.shared import selection_bar

    fill_store(tmp_path / "store", pixels={f"cats/{n:03}.jpg": {"cat": n % 100} for n in range(100)})
    path = serve(tmp_path / "store")
    app = opened("Explore", page=["2"])
    _, version, _ = source.open_store(path)
    selection = SimpleNamespace(source=RunSource(str(path), version, make_run_config().run_name), filters=Filters())
    state = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboard.state.session.st.session_state", state)
        selection_bar.pick_all(selection)
    app.session_state["_picks"] = state["_picks"]
    app.run()
    assert "**100 photos selected**" in said(app)
    assert len(component(app, "tiles")["picks"]["on"]) == 48


def test_two_copies_of_one_photo_are_one_pick(tmp_path, serve):
    fill_store(tmp_path / "store")
    fill_store(tmp_path / "store", folder="more", pixels={"cats/a.jpg": PIXELS["cats/a.jpg"]})
    serve(tmp_path / "store")
    assert "**1 photo selected**" in said(with_picks("cats/a.jpg"))
