"""Write a syntax tree as text, with no more parentheses and quotes than it needs: the inverse of `parsing.parse`."""

from seglib.query.expressions.nodes import And, Comparison, Expression, Not, Operator, Or
from seglib.query.expressions.quoting import write_name, write_value


def to_text(expression: Expression) -> str:
    """The expression in its canonical form; `parse(to_text(e)) == e` for every expression."""
    match expression:
        case Comparison():
            return _write_comparison(expression)
        case Not(part):
            return f"not {_write_part(part, And, Or)}"
        case And(parts):
            return " and ".join(_write_part(part, And, Or) for part in parts)
        case Or(parts):
            return " or ".join(_write_part(part, Or) for part in parts)


def _write_part(part: Expression, *in_parentheses: type[And] | type[Or]) -> str:
    return f"({to_text(part)})" if isinstance(part, in_parentheses) else to_text(part)


def _write_comparison(comparison: Comparison) -> str:
    name, operator = write_name(comparison.name), comparison.operator
    values = ", ".join(map(write_value, comparison.values))
    if operator in (Operator.MISSING, Operator.NOT_MISSING):
        return f"{name} {operator}"
    return (
        f"{name} {operator} ({values})" if operator in (Operator.IN, Operator.NOT_IN) else f"{name} {operator} {values}"
    )
