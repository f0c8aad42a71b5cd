"""Ten expressions and the pandas filters that they stand for choose the same rows of 100,000."""

import pytest

from seglib.query.expressions.evaluation import evaluate
from seglib.query.expressions.parsing import parse
from tests.seglib.query.expressions.large_table import EXPRESSIONS, make_table


@pytest.fixture(scope="module")
def table():
    return make_table(100_000)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_rows_are_those_of_pandas(table, text):
    expected = EXPRESSIONS[text](table).to_numpy(bool)
    assert 0 < expected.sum() < len(table)
    assert (evaluate(parse(text), table) == expected).all()
