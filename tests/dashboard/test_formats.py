"""Numbers are written one way, and names cannot become anything else than text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.formats import count, named, percent, photos, plain_html, plain_markdown, score


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.36, "36 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.004, "0.4 %"),
        (0.0996, "10 %"),
        (0.05, "5 %"),
        (0.0512, "5.1 %"),
        (0.0001, "<0.1 %"),
        (0.0006, "0.1 %"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_shares(share, text):
    assert percent(share).replace("\xa0", " ") == text


def test_scores_and_counts():
    assert (score(0.956), score(None), score(math.nan)) == ("0.96", "–", "–")
    assert (count(1234567), photos(1), photos(1000)) == ("1,234,567", "1 photo", "1,000 photos")
    assert (named(""), named("cats")) == ("(none)", "cats")


@given(st.text())
def test_no_sign_of_markdown_stays_bare(text):
    bare = plain_markdown(text).replace("\\\\", "")
    for sign in "*_`[]()<>#:$|!~":
        if sign != "_":  # a word's own underscore is none
            assert bare.count(sign) == bare.count("\\" + sign)
    assert "\n" not in bare


def test_html_stays_text():
    assert plain_html("<b onclick='x'>&\"") == "&lt;b onclick=&#x27;x&#x27;&gt;&amp;&quot;"
