"""Every expression in the documentation is one, fits its fields, and keeps its meaning when it is written again."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest

from seglib.errors import FilterError
from seglib.query.expressions.evaluation import evaluate
from seglib.query.expressions.nodes import Operator
from seglib.query.expressions.parsing import parse
from seglib.query.expressions.where import read_where
from seglib.query.expressions.writing import to_text
from seglib.query.filters import FILTERS
from tests.conftest import ROOT
from tests.seglib.query.expressions.large_table import make_table

TEXT = (ROOT / "docs" / "expressions.md").read_text()
ROWS = re.findall(r"^\| (`.*?) \| `(.*?)` \|", TEXT, re.M)
IN_SENTENCES = re.findall(r"`((?!seglib)[^`\n]+ (?:=|>|<=|>=|!=|contains) [^`\n]+|[^`\n]+ is (?:not )?missing)`", TEXT)
SHELL = [
    words[words.index("--where") + 1]
    for line in TEXT.splitlines()
    if "--where '" in line and line.startswith("python")
    for words in [shlex.split(line)]
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    frame = make_table(300)
    names = {f"px:{name}": np.zeros(300, "int32") for name in ("dog", "sofa", "chair")}
    return frame.assign(
        dataset=frame["split"], animal=frame["content"], dominant=frame["content"], entropy=frame["confidence"],
        low_margin=frame["confidence"], height=frame["width"], **{"column:focal length": 50.0}, **names,
    )  # fmt: skip


def test_the_examples_are_found():
    assert len(ROWS) == 17
    assert len(IN_SENTENCES) > 15
    assert len(SHELL) == 4


@pytest.mark.parametrize("text", sorted({*(example for _, example in ROWS), *IN_SENTENCES, *SHELL}))
def test_every_example_is_an_expression_that_fits(table, text):
    expression = parse(text)
    assert evaluate(parse(to_text(expression)), table).tolist() == evaluate(expression, table).tolist()
    assert read_where(text)["where"] == text


def test_the_tables_name_every_operator_and_every_field():
    operators = {name for cell, _ in ROWS[:6] for name in re.findall(r"`(.*?)`", cell)}
    assert {one.value for one in Operator} <= {name.removesuffix(" (…)") for name in operators}
    fields = {name.partition(".")[0] for cell, _ in ROWS[6:] for name in re.findall(r"`(.*?)`", cell)}
    assert fields == set(FILTERS) - {"where"}


@pytest.mark.parametrize("sentence", re.findall(r"^(At '.*)$", TEXT, re.M))
def test_the_mistakes_are_said_in_these_words(table, sentence):
    text = {"lable": "share.cat > 10% and (lable = dogs)", "wide": "width = wide"}[sentence.split("'")[1]]
    with pytest.raises(FilterError) as caught:
        evaluate(parse(text), table)
    column = re.compile(r"column \d+")
    assert column.sub("", str(caught.value)) == column.sub("", sentence)
