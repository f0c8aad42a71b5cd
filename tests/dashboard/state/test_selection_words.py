"""Files and pictures are named after the photos that they are about."""

import pytest

from dashboard.formatting import slug
from dashboard.state.selection_words import describe_selection
from seglib.query.filters import Filters


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My class/photos: 12 %", "my-class-photos-12"),
        ("../../etc/passwd", "etc-passwd"),
        ("snake_case  and\nlines", "snake-case-and-lines"),
        ("Mädchen ﬁlm", "mädchen-film"),
        ("\udcff ?*", ""),
        ("é" * 100, "é" * 60),
    ],
)
def test_a_slug_is_a_part_of_a_file_name(text, name):
    assert slug(text) == name
    assert len(slug(text).encode()) <= 120


@pytest.mark.parametrize(
    ("filters", "name", "shown"),
    [
        ("", "holiday", ""),
        ("dataset=My class photos&agreement=contradicts", "my-class-photos-disagree", "My class photos"),
        ("agreement=&agreement=agrees", "holiday-folder-names-no-class-agree", "agree"),
        ("label=cats&share.cat=0.1..1", "holiday-cats-share-of-cat-10-to-100", "Share of cat: 10 % to 100 %"),
        ("label=&tag=&present=dog", "holiday-no-folder-no-tag-dog", "dog"),
        ("path=../a b", "holiday-a-b", "../a b"),
    ],
)
def test_the_photos_are_named_after_dataset_and_filters(filters, name, shown):
    words = describe_selection(Filters.decode(filters), ["Holiday"])
    assert words.file_name == name
    assert shown in words.filters


def test_several_datasets_are_photos():
    assert describe_selection(Filters(), ["a", "b"]).file_name == "photos"
    assert describe_selection(Filters.decode("dataset=a&dataset=b"), ["a", "b", "c"]).file_name == "a-b"
    assert describe_selection(Filters.decode("dataset=??"), ["??"]).file_name == "photos"


def test_one_line_says_what_a_picture_is_about():
    assert describe_selection(Filters(), ["a"]).about == ""
    assert describe_selection(Filters(), ["a"], "FCN · 224").about == "FCN · 224"
    words = describe_selection(Filters.decode("label=cats&split=val"), ["a"], "FCN · 224")
    assert words.about == "FCN · 224; selected: Split: val; Folder: cats"
