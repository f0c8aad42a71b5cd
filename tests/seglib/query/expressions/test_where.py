"""What `--where` takes: the filter part of a URL as before, an expression, and nothing that is both."""

import pytest

from seglib.errors import FilterError
from seglib.query.expressions.where import read_where
from seglib.query.filters import Filters


@pytest.mark.parametrize(
    "text",
    [
        "",
        "label=cats&share.cat=0.1..1",
        "?label=cats",
        "path=cat",
        "confidence=0.1..<0.2",
        "label=my dogs",
        "label=a+b",
        "label=dog's",
        "label=a(1)",
        "path=a <b> & c".replace(" & ", "&label="),
        "column.camera=Canon",
        "where=share.cat%20%3E%200.1&label=cats",
    ],
)
def test_the_filter_part_of_a_url_keeps_its_meaning(text):
    assert read_where(text) == Filters.decode(text)


@pytest.mark.parametrize(
    "text",
    [
        "label = cats",
        "share.cat>0.1",
        "share.cat >= 10%",
        "blobs.cat>=2",
        "label!=cats",
        "width>=300",
        "not label=dogs",
        "(label=dogs)",
        "label in (dogs, cats)",
        "(label=dogs or agreement=agrees) and width<3",
        "label =dogs and tag=x",
    ],
)
def test_an_expression_becomes_the_filter_where(text):
    assert read_where(f" {text} ") == Filters({"where": text})


@pytest.mark.parametrize(
    "text", ["label=dogs or agreement=agrees", 'tag="needs review" and width>3', "label=dogs and width>3"]
)
def test_what_can_be_read_in_both_ways_is_refused(text):
    with pytest.raises(FilterError, match="for the expression") as caught:
        read_where(text)
    assert read_where(text.replace("=", " =", 1)) == Filters({"where": text.replace("=", " =", 1)})
    assert text.replace("=", " =", 1) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label", "A filter reads key=value"),
        ("lable=dogs", "There is no filter 'lable'"),
        ("confidence=5", "range within 0..1"),
        ("lable=my dogs", "There is no filter 'lable'"),
        ("label = my dogs", "column 12"),
        ("share.cat > ", "column 12"),
        ("(label=dogs", "column 12"),
    ],
)
def test_a_mistake_is_told_in_the_terms_of_what_it_looks_like(text, message):
    with pytest.raises(FilterError) as caught:
        read_where(text)
    assert message in str(caught.value)
