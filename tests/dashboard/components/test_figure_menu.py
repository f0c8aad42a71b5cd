"""What a chart's menu saves is named after the chart and the photos, and carries the title and note of its card."""

import pytest

from dashboard.components import base
from dashboard.state.selection_words import SelectionWords


@pytest.fixture
def chosen(monkeypatch):
    words = SelectionWords("my-class-disagree", "Folder: cats", "FCN · 224")
    monkeypatch.setattr(base.session, "selection_words", lambda: words)


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        ("photos per 10 %, n = 9", "photos per 10 %, n = 9"),
        ("n = 9 photos; drag a box to filter", "n = 9 photos"),
        ("n = 9; one point per photo, a click opens it", "n = 9; one point per photo"),
        ("", ""),
    ],
)
def test_a_picture_has_the_title_and_note_without_hints_for_the_page(chosen, note, kept):
    with base.inside_card("Share of <b>cat</b>", note):
        menu = base.figure_menu()
    assert menu == {
        "title": "Share of <b>cat</b>",
        "note": kept,
        "about": "FCN · 224; selected: Folder: cats",
        "file": "my-class-disagree-share-of-b-cat-b",
        "corner": True,
    }


def test_only_the_first_figure_of_a_card_has_its_button_in_the_corner(chosen):
    with base.inside_card("Cost", ""):
        assert [base.figure_menu()["corner"] for _ in range(2)] == [True, False]
        with base.inside_card("Inner", ""):
            assert base.figure_menu()["title"] == "Inner"
        assert base.figure_menu()["title"] == "Cost"
    outside = base.figure_menu()
    assert (outside["title"], outside["file"], outside["corner"]) == ("", "my-class-disagree", False)
