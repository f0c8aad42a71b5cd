"""Expressions choose the rows that a plain pandas filter chooses, and refuse what does not fit a field."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.errors import FilterError
from seglib.query.expressions.evaluation import describe_unknown_names, evaluate
from seglib.query.expressions.nodes import ExpressionError
from seglib.query.expressions.parsing import parse
from seglib.query.expressions.quoting import write_value
from seglib.query.filters import Filters, select
from seglib.store.schemas import TAG_SEPARATOR

TABLE = pd.DataFrame(
    {
        "path": ["cats/a", "cats/b", "dogs/c", "d"],
        "label": pd.Categorical(["cats", "cats", "dogs", None]),
        "label_class": pd.Categorical(["cat", "cat", "dog", None]),
        "content": pd.Categorical(["cat", "dog", "none", "cat"]),
        "confidence": pd.array([0.9, 0.7, None, 0.1], "float32"),
        "width": [640, 480, 480, 100],
        "grid_width": 10,
        "grid_height": 10,
        "px:cat": [50, 0, 1, 10],
        "px:dining table": pd.array([0, 10, None, 0], "Int32"),
        "tags": pd.Categorical([TAG_SEPARATOR.join(["doubtful", "good"]), "good", None, "two words"]),
        "column:camera": pd.Categorical(["Canon", "Nikon", None, "Canon"]),
        "column:iso": pd.array([100, 400, None, 1600], "Int64"),
        "column:taken": pd.array(["2024-01-31T23:59:59", "2024-02-01", None, "2024-03-01"], "datetime64[us]"),
        "column:good": pd.array([True, False, None, True], "boolean"),
        "column:note": pd.array(["Blurred, dark", "fine", None, "a.b"], "str"),
        "column:focal length": [50.0, float("nan"), 35.0, -1.5],
        "column:label": pd.Categorical(["x", "x", "x", "x"]),
    }
)


def rows(text: str) -> str:
    return "".join("abcd"[i] for i in evaluate(parse(text), TABLE).nonzero()[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("share.cat > 0.1 and (label = dogs or not agreement = agrees)", ""),
        ("share.cat >= 0.1 and (label = dogs or not agreement = agrees)", "d"),
        ("share.cat > 0.1", "a"),
        ("share.cat >= 10%", "ad"),
        ('share."dining table" < 5 %', "ad"),
        ('share."dining table" is missing', "c"),
        ("label = cats", "ab"),
        ("label != cats", "cd"),
        ("not label = cats", "cd"),
        ("label != cats and label is not missing", "c"),
        ("label in (dogs, Cats)", "c"),
        ("label not in (dogs)", "abd"),
        ("label contains AT", "ab"),
        ("path contains CATS/", "ab"),
        ("path = d", "d"),
        ("path in (d, 'dogs/c', e)", "cd"),
        ("agreement = agrees", "a"),
        ("agreement = disagree", "b"),
        ("agreement = contradicts", "b"),
        ("agreement = 'nothing seen'", "c"),
        ("agreement = 'folder names no class'", "d"),
        ("agreement is missing", "d"),
        ("not agreement = agrees", "bcd"),
        ("confidence = 0.7", "b"),
        ("confidence <= 70%", "bd"),
        ("not confidence <= 70%", "ac"),
        ("width = 480", "bc"),
        ("width in (100, 640.0)", "ad"),
        ("present = cat", "acd"),
        ("present in (cat, 'dining table')", "abcd"),
        ("present != cat", "b"),
        ("tag = good", "ab"),
        ("tag != good", "cd"),
        ("tag in (doubtful, 'two words')", "ad"),
        ("tag contains WORD", "d"),
        ("tag is missing", "c"),
        ("column.camera = Canon", "ad"),
        ("camera = Canon", "ad"),
        ("camera != Canon", "bc"),
        ("iso >= 400", "bd"),
        ("not iso >= 400", "ac"),
        ("taken = 2024-01-31", "a"),
        ("taken != 2024-01-31", "bcd"),
        ("taken <= 2024-02-01", "ab"),
        ("taken < 2024-02-01", "a"),
        ("taken > 2024-01-31", "bd"),
        ("taken >= 2024-02-01", "bd"),
        ("taken > 2024-02-01T00:00", "d"),
        ("taken = '2024-02-01 00:00:00'", "b"),
        ("taken is missing", "c"),
        ("good = TRUE", "ad"),
        ("good != true", "bc"),
        ("note contains 'RED, d'", "a"),
        ("note = fine", "b"),
        ("note != fine", "acd"),
        ("'focal length' = -1.5", "d"),
        ("column.'focal length' > 4e1", "a"),
        ("label = x", ""),
        ("column.label = x", "abcd"),
    ],
)
def test_rows_of_every_kind_of_field(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize("value", ["\0", "(", "\\", "\U0010ffff", "\u202e", "%", "'", '"', "a" * 5000], ids=ascii)
@pytest.mark.parametrize("field", ["path", "label", "tag", "note", "camera", "agreement", "present", "width", "good"])
@pytest.mark.parametrize("operator", ["=", "contains", "!="])
def test_any_value_is_compared_or_refused_in_a_sentence(field, operator, value):
    text = f"{field} {operator} {write_value(value)}"
    try:
        chosen = rows(text)
    except FilterError as error:
        sentence = str(error)
    else:
        assert chosen == ("abcd" if operator == "!=" else "")
        return
    assert len(sentence) < 400


def test_missing_values_follow_pandas():
    frame = TABLE
    plain = (frame["px:cat"] / 100 >= 0.1) & (
        (frame["label"] == "dogs") | ~(frame["content"].astype("object") == frame["label_class"].astype("object"))
    )
    assert rows("share.cat >= 0.1 and (label = dogs or not agreement = agrees)") == "".join(
        "abcd"[i] for i in plain.to_numpy().nonzero()[0]
    )


NO_FIELD = "there is no field of this name; did you mean"
NO_CLASS = "no model of this table knows"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("share.cat > 0 and lable = dogs", f"At 'lable' (column 19): {NO_FIELD} label?"),
        ("kamera = Canon", f"At 'kamera' (column 1): {NO_FIELD} camera?"),
        ("cat > 0.1", f"At 'cat' (column 1): {NO_FIELD} share.cat?"),
        ("shаre.cat > 0", f"At 'shаre.cat' (column 1): {NO_FIELD} share.cat?"),
        ("share.catt > 0", f"At 'share.catt' (column 1): {NO_CLASS} a class 'catt'; did you mean share.cat?"),
        ("present = katze", f"At 'katze' (column 11): {NO_CLASS} this class; known are cat, \"dining table\"."),
        ("agreement = agreed", "At 'agreed' (column 13): agreement has no such value; did you mean agree?"),
        ("width = wide", "At 'wide' (column 9): width is a number: write it like 300."),
        ("share.cat > ten", "At 'ten' (column 13): share.cat is a number: write it like 0.1 or 10%."),
        ("share.cat > 10", "At '10' (column 13): share.cat lies between 0 and 1: write 0.1 or 10% for a tenth."),
        ("confidence > 1e999", "At '1e999' (column 14): confidence is a number: write it like 0.1 or 10%."),
        ("width > 10%", "At '10%' (column 9): width is not a share, so it has no percent: write a number."),
        ("iso = 100..400", "At '100..400' (column 7): a range is written column.iso >= 100 and column.iso <= 400."),
        ("width in (1, nan)", "At 'nan' (column 14): width is a number: write it like 300."),
        ("taken > 2024", "At '2024' (column 9): a date is written 2024-01-31"),
        ("taken > 2024-02-30", "At '2024-02-30' (column 9): a date is written 2024-01-31"),
        ("good = yes", "At 'yes' (column 8): this field is true or false."),
        ("label = ''", "At '\"\"' (column 9): a field without a value is written label is missing."),
        ("label > 3", "At 'label' (column 1): label is a name, so it cannot be compared by >, only by =, in,"),
        ("width contains 4", "At 'width' (column 1): width is a whole number, so it cannot be compared by contains"),
        ("present is missing", "At 'present' (column 1): present names classes, so it cannot be compared by is"),
        ("good > true", "At 'good' (column 1): good is true or false, so it cannot be compared by >"),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_its_place(text, message):
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(text), TABLE)
    assert str(caught.value).startswith(message)


def test_a_table_without_tags_says_so():
    with pytest.raises(FilterError, match="without tags"):
        evaluate(parse("tag = good"), TABLE.drop(columns="tags"))


def test_names_that_no_row_has_are_noted():
    one = parse("label = Cats or label in (dogs, zebra) or tag = god or label contains x or width = 3 or note = x")
    assert describe_unknown_names(one, TABLE) == [
        "No photo has label = Cats; did you mean cats?",
        "No photo has label = zebra.",
        "No photo has tag = god; did you mean good?",
    ]


def test_as_a_filter_it_is_one_condition_among_others():
    filters = Filters.decode("label=cats&where=width%20%3E%20500%20or%20tag%20%3D%20good")
    assert filters["where"] == "width > 500 or tag = good"
    assert filters.uses_tags
    assert not Filters.decode("label=cats&where=width%3E500").uses_tags
    assert Filters.decode(filters.encode()) == filters
    assert "".join(select(TABLE, filters)["path"]) == "cats/acats/b"
    assert not Filters({"where": " "})


@pytest.mark.parametrize(
    ("query", "message"), [("where=label%3D", "column 7"), ("where=a%3D1&where=b%3D1", "one expression, not 2")]
)
def test_a_filter_that_is_no_expression_is_refused(query, message):
    with pytest.raises(FilterError, match=message):
        Filters.decode(query)


_ATOMS = {
    "share.cat > 0.1": TABLE["px:cat"] / 100 > 0.1,
    "label = cats": TABLE["label"] == "cats",
    "label != cats": TABLE["label"] != "cats",
    "iso >= 400": TABLE["column:iso"].astype("float64") >= 400,
    "taken <= 2024-02-01": TABLE["column:taken"] < pd.Timestamp("2024-02-02"),
    "confidence < 80%": TABLE["confidence"] < 0.8,
    "note contains fine": TABLE["column:note"].str.contains("fine").fillna(False),
    "camera is missing": TABLE["column:camera"].isna(),
}
_TREES = st.recursive(
    st.sampled_from(list(_ATOMS)),
    lambda parts: st.tuples(st.just("not"), parts) | st.tuples(parts, st.sampled_from(["and", "or"]), parts),
    max_leaves=6,
)


@given(_TREES)
def test_any_combination_equals_the_plain_pandas_filter(tree):
    def build(one) -> tuple[str, pd.Series]:
        if isinstance(one, str):
            return one, _ATOMS[one].astype(bool)
        if len(one) == 2:
            text, plain = build(one[1])
            return f"not ({text})", ~plain
        (left, a), (right, b) = build(one[0]), build(one[2])
        return f"({left}) {one[1]} ({right})", a & b if one[1] == "and" else a | b

    text, plain = build(tree)
    assert evaluate(parse(text), TABLE).tolist() == plain.tolist()
