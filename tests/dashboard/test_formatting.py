"""Numbers are written one way, and names cannot become anything else than text."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.formatting import (
    byte_size,
    count,
    display_name,
    duration,
    escape_html,
    escape_markdown,
    local_time,
    matrix_caption,
    percent,
    percent_in_cell,
    photo_count,
    run_labels,
    score,
    shorten_enumerations,
    shorten_labels,
    user_message,
)
from seglib.pipeline.run import describe_run
from tests.dashboard.conftest import make_run_config


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
    assert (count(1234567), photo_count(1), photo_count(1000)) == ("1,234,567", "1 photo", "1,000 photos")
    assert (display_name(""), display_name("cats")) == ("(none)", "cats")


@given(st.text())
def test_no_sign_of_markdown_stays_bare(text):
    bare = escape_markdown(text).replace("\\\\", "")
    for sign in "*_`[]()<>#:$|!~":
        if sign != "_":  # a word's own underscore is none
            assert bare.count(sign) == bare.count("\\" + sign)
    assert "\n" not in bare


def test_signs_that_markdown_does_not_know_stay_as_they_are():
    assert escape_markdown("a · b – 1 % „ü“") == "a · b – 1 \\% „ü“"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (9000, "2.5 h"), (9001, "2.6 h")]
)
def test_durations_promise_no_less(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 kB"), (1, "1 kB"), (999_999, "1000 kB"), (1.44e6, "1.4 MB"), (1.3e8, "130 MB"), (2e9, "2.0 GB")],
)
def test_sizes(number, text):
    assert byte_size(number) == text


def test_html_stays_text():
    assert escape_html("<b onclick='x'>&\"") == "&lt;b onclick=&#x27;x&#x27;&gt;&amp;&quot;"


def test_long_enumerations_are_shortened_and_short_ones_stay():
    names = ", ".join(f"n{number}" for number in range(20))
    assert shorten_enumerations(f"Both know a, b; others ({names}) are left out.") == (
        "Both know a, b; others (n0, n1, n2, n3, n4, n5, n6, n7 and 12 more) are left out."
    )
    short = "x has no class a, b, c: such pixels are left out."
    assert shorten_enumerations(short) == short


def test_runs_of_one_title_stay_apart():
    one, two = make_run_config(1), make_run_config(2)
    runs = [replace(describe_run(config, parameters=1, versions={}), title="Mine") for config in (one, two)]
    labels = run_labels(runs)
    assert labels == {run.run: f"Mine · 64x64 · fp32 · {run.run[-8:]}" for run in runs}
    like_another = replace(runs[0], run="third", title=labels[runs[0].run].removesuffix(" · 64x64"), resize="64x64")
    twins = [replace(like_another, run="a"), replace(like_another, run="b"), *runs]
    assert len(set(run_labels(twins).values())) == 4


def test_labels_are_shortened_by_what_they_share():
    labels = {"a": "net · 224 · fp32", "b": "net · 224 · int8", "c": "other · 224 · fp32", "d": "net · 224"}
    assert shorten_labels(["a", "b"], labels) == {"a": "fp32", "b": "int8"}
    assert shorten_labels(["a", "c"], labels) == {"a": "net", "c": "other"}
    assert shorten_labels(["a", "d"], labels) == {"a": "224 · fp32", "d": "224"}


def test_underscores_around_a_name_do_not_make_it_bold():
    assert escape_markdown("__a__ _b_ fcn_resnet50") == r"\_\_a\_\_ \_b\_ fcn_resnet50"


def test_a_page_names_the_button_where_the_button_helps():
    assert user_message("It is damaged: run again with `verify`.") == (
        "It is damaged: run again with --verify (here: Verify on Runs)."
    )
    record = "run.json is damaged: the command that made the run rewrites it with `verify`"  # no button can
    assert user_message(record) == record.replace("`", "")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1e-6, "<0.01"), (0.0001, "0.01"), (0.0004, "0.04"), (0.00096, "0.1"), (0.004, "0.4"), (1.0, "100.0")],
)
def test_small_cells_of_a_matrix_differ(share, text):
    assert percent_in_cell(share) == text


def test_one_class_that_is_left_out_is_one():
    none, one, many = (matrix_caption(number) for number in (0, 1, 1200))
    assert none.endswith("all figures stay.")
    assert one == f"{none} 1 class with fewer pixels is not shown."
    assert many == f"{none} 1,200 classes with fewer pixels are not shown."


@pytest.mark.parametrize(
    ("utc", "zone", "words"),
    [
        ("2026-11-27T17:45:30.123456+00:00", "Europe/Zurich", "27 Nov 2026, 18:45"),
        ("2026-07-27T17:45:30+00:00", "Europe/Zurich", "27 Jul 2026, 19:45"),  # summer time of then, not of now
        ("2026-12-31T23:30:00+00:00", "Asia/Kolkata", "1 Jan 2027, 05:00"),
        ("2026-11-27T17:45:30", "America/New_York", "27 Nov 2026, 12:45"),
        ("2026-11-27T18:45:30+01:00", None, "27 Nov 2026, 17:45 UTC"),
        ("2026-11-27T17:45:30+00:00", "", "27 Nov 2026, 17:45 UTC"),
        ("2026-11-27T17:45:30+00:00", "Nowhere/Atlantis", "27 Nov 2026, 17:45 UTC"),
        ("2026-11-27T17:45:30+00:00", "../../etc/passwd", "27 Nov 2026, 17:45 UTC"),
        ("2026-11-27T17:45:30+00:00", "Europe", "27 Nov 2026, 17:45 UTC"),
        ("2026-11-27T17:45:30+00:00", "\0", "27 Nov 2026, 17:45 UTC"),
        ("0001-01-01T00:00:00+00:00", "America/New_York", "1 Jan 1, 00:00 UTC"),
        ("soon", "Europe/Zurich", "–"),
        ("", None, "–"),
    ],
)
def test_times_are_those_of_the_visitor(utc, zone, words):
    assert local_time(utc, zone) == words
