"""Parsing and writing are inverse, precedence is the usual one, and each mistake is a sentence with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.errors import FilterError
from seglib.query.expressions.nodes import And, Comparison, ExpressionError, Not, Operator, Or
from seglib.query.expressions.parsing import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, parse
from seglib.query.expressions.writing import to_text

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "and",
        "Not",
        "in",
        "missing",
        "10%",
        "10 %",
        "a b",
        "a.b",
        ".",
        "a.",
        ".b",
        '"',
        "'",
        "it's",
        "\\",
        "\0",
        "а",
        "=",
        "()",
    ]
)
_NO_VALUE, _SEVERAL = (Operator.MISSING, Operator.NOT_MISSING), (Operator.IN, Operator.NOT_IN)
COMPARISONS = st.one_of(
    st.builds(Comparison, TEXTS, st.sampled_from(_NO_VALUE)),
    st.builds(Comparison, TEXTS, st.sampled_from(_SEVERAL), st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
    st.builds(
        Comparison,
        TEXTS,
        st.sampled_from([one for one in Operator if one not in (*_NO_VALUE, *_SEVERAL)]),
        st.tuples(TEXTS),
    ),
)
EXPRESSIONS = st.recursive(
    COMPARISONS,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_parsing_is_the_inverse_of_writing(expression):
    assert parse(to_text(expression)) == expression


@given(st.text())
def test_any_text_is_an_expression_or_one_sentence(text):
    try:
        expression = parse(text)
    except ExpressionError as error:
        place, sentence = error.place, str(error)
    else:
        assert parse(to_text(expression)) == expression
        return
    assert 0 <= place <= len(text)
    assert sentence.endswith((".", "?"))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a=1 or b=2 and c=3", "a = 1 or b = 2 and c = 3"),
        ("(a=1 or b=2) and c=3", "(a = 1 or b = 2) and c = 3"),
        ("((a=1)) and ((b=2))", "a = 1 and b = 2"),
        ("NOT a=1 And b=2", "not a = 1 and b = 2"),
        ("not (a=1 or b=2)", "not (a = 1 or b = 2)"),
        ("not not a = 1", "not not a = 1"),
        ("a==1", "a = 1"),
        ("share.cat>=10 %", "share.cat >= 10%"),
        ("share.'dining table' < 1", 'share."dining table" < 1'),
        ("'focal length' = 50", '"focal length" = 50'),
        ('a."b.c" = 1', "a.b.c = 1"),
        ("label IN(cats,'my dogs')", 'label in (cats, "my dogs")'),
        ("label not in (cats)", "label not in (cats)"),
        ('a = "\\u00e9\\n"', 'a = "é\\u000a"'),
        ("taken = 2024-01-31T12:00", "taken = 2024-01-31T12:00"),
        ("a Is Not Missing", "a is not missing"),
        ("notes = order", "notes = order"),
    ],
)
def test_canonical_form(text, canonical):
    assert to_text(parse(text)) == canonical


def test_and_binds_tighter_than_or_and_not_tighter_than_and():
    a, b, c = (Comparison(name, Operator.EQUALS, ("1",)) for name in "abc")
    assert parse("not a = 1 and b = 1 or c = 1") == Or((And((Not(a), b)), c))


def test_places_are_those_of_the_text():
    one = parse("  label in (cats, dogs)")
    assert isinstance(one, Comparison)
    assert (one.place, one.value_places) == (2, (12, 18))


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("", 1, "a condition is expected"),
        ("   ", 1, "a condition is expected"),
        ("label", 6, "after a field comes"),
        ("label =", 8, "a value is expected"),
        ("label = my dogs", 12, '"and" or "or" is expected before this; a name with spaces stands in quotes'),
        ("a = 1 b = 2", 7, '"and" or "or" is expected'),
        ("(a = 1", 7, "a parenthesis is not closed"),
        ("a = 1)", 6, "closes none"),
        ("a in b", 6, "a list in parentheses"),
        ("a in (b c)", 9, "a comma or the closing parenthesis"),
        ("a in ()", 7, "a value is expected"),
        ("a = missing", 5, 'it is written "missing"'),
        ("or = 3", 1, 'it is written "or"'),
        ("a is 3", 6, "missing or not missing"),
        ("a not b", 7, "after not comes in"),
        ("a = 0,1", 6, "a decimal number has a point"),
        ("a < 1 < 2", 7, "one operator"),
        ('a = "x', 5, "quote is not closed"),
        ('a = "\\x"', 5, "no escape"),
        ("a ! b", 3, "not equal is !="),
        ("a = 1 and", 10, "a condition is expected"),
        ("a = 1\0 = 2", 8, "one operator"),
        ("a = \ud800", 5, "half of a character"),
        ('a = "\\ud800"', 5, "no escape"),
        ('a = "\\Uffffffff"', 5, "no escape"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text, column, sentence):
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert f"(column {column})" in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "(" * (MAX_DEPTH + 1) + "a = 1" + ")" * (MAX_DEPTH + 1),
        "not " * MAX_DEPTH + "a = 1",
        "a = 1 or " * MAX_COMPARISONS + "a = 1",
        "a = " + "x" * 100_000,
        "a = '" + "\\" * MAX_LENGTH,
    ],
    ids=len,
)
def test_what_is_too_deep_or_too_long_is_refused(text):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert len(str(caught.value)) < 250


def test_the_deepest_and_widest_expressions_are_accepted():
    deep = MAX_DEPTH - 1
    assert to_text(parse("(" * deep + "a = 1" + ")" * deep)) == "a = 1"
    assert len(parse(" or ".join(["a = 1"] * MAX_COMPARISONS)).parts) == MAX_COMPARISONS
