"""Parse the text of an expression into its syntax tree.

    parse("share.cat > 0.1 and (label = dogs or not agreement = agrees)")

The grammar is in `grammar`. Which fields there are, and of which kind, is checked when the expression is evaluated.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from seglib.query.expressions.grammar import GRAMMAR, KEYWORDS
from seglib.query.expressions.nodes import And, Comparison, Expression, ExpressionError, Not, Operator, Or
from seglib.query.expressions.quoting import read_quoted

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

MAX_LENGTH = 8000
"""Characters of an expression."""
MAX_DEPTH = 40
"""Parentheses and nots within each other."""
MAX_COMPARISONS = 200

EXAMPLE = "share.cat > 10% and not label = dogs"

_Text = tuple[str, int]
"""A name or a value, and its place."""


@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """The syntax tree of an expression. Raises `ExpressionError`, which says where the mistake is."""
    from lark.exceptions import UnexpectedInput

    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            text[MAX_LENGTH:], MAX_LENGTH, f"an expression has at most {MAX_LENGTH:,} characters, not {len(text):,}."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError(text[error.start], error.start, "this is half of a character: type it again.") from None
    if not text.strip():
        raise ExpressionError("", 0, f"a condition is expected, such as {EXAMPLE}.")
    parser = _parser()
    try:
        _check_limits(parser.lex(text))
        expression: Expression = parser.parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise _syntax_error(error, text) from None
    return expression


def _check_limits(tokens: "Iterator[Token]") -> None:
    """Raise `ExpressionError` if the tree would be too deep or too large for the functions that walk it."""
    nots, compared = [0], 0
    for token in tokens:
        match token.type:
            case "_LPAR":
                nots.append(0)
            case "_RPAR" if len(nots) > 1:
                nots.pop()
            case "NOT":
                nots[-1] += 1
            case "_AND" | "_OR":
                nots[-1] = 0
            case "COMPARE" | "CONTAINS" | "IN" | "_IS":
                compared += 1
        place = token.start_pos or 0
        if len(nots) + sum(nots) > MAX_DEPTH:
            raise ExpressionError(str(token), place, f"parentheses and nots may lie in each other {MAX_DEPTH} deep.")
        if compared > MAX_COMPARISONS:
            raise ExpressionError(str(token), place, f"an expression has at most {MAX_COMPARISONS} conditions.")


@lru_cache(maxsize=1)
def _parser() -> "Lark":
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=_tree_builder(), maybe_placeholders=False)


def _tree_builder() -> Any:
    """A transformer that makes nodes while lark parses: no tree of lark's is built."""
    from lark import Transformer, v_args

    class TreeBuilder(Transformer):  # type: ignore[type-arg]
        @v_args(inline=True)
        def comparison(self, name: _Text, operator: "Token", value: Any) -> Comparison:
            word = operator.lower()
            values = value if word == Operator.IN else (value,)
            return _comparison(name, Operator("=" if word == "==" else word), values)

        @v_args(inline=True)
        def not_in(self, name: _Text, *rest: Any) -> Comparison:
            return _comparison(name, Operator.NOT_IN, rest[-1])

        @v_args(inline=True)
        def missing(self, name: _Text) -> Comparison:
            return _comparison(name, Operator.MISSING, ())

        @v_args(inline=True)
        def not_missing(self, name: _Text, _: Any) -> Comparison:
            return _comparison(name, Operator.NOT_MISSING, ())

        @v_args(inline=True)
        def negate(self, _: Any, part: Expression) -> Not:
            return Not(part)

        def conjunction(self, parts: list[Expression]) -> And:
            return And(tuple(parts))

        def disjunction(self, parts: list[Expression]) -> Or:
            return Or(tuple(parts))

        def values(self, values: list[_Text]) -> tuple[_Text, ...]:
            return tuple(values)

        bare_name = bare_value = v_args(inline=True)(lambda _, token: (str(token), token.start_pos))
        quoted_name = quoted_value = v_args(inline=True)(lambda _, token: (_read_string(token), token.start_pos))
        percent = v_args(inline=True)(lambda _, token: ("".join(token.split()), token.start_pos))
        dotted_name = v_args(inline=True)(lambda _, token: (_read_dotted(token), token.start_pos))

    return TreeBuilder()


def _comparison(name: _Text, operator: Operator, values: tuple[_Text, ...]) -> Comparison:
    texts, places = tuple(text for text, _ in values), tuple(place for _, place in values)
    return Comparison(name[0], operator, texts, name[1], places)


def _read_string(token: "Token", start: int = 0) -> str:
    try:
        return read_quoted(token[start:])
    except ValueError as error:
        reason = f'there is no escape {error}: a backslash is written \\\\ and a quote \\".'
        raise ExpressionError(str(token), token.start_pos or 0, reason) from None


def _read_dotted(token: "Token") -> str:
    group, _, _ = token.partition(".")
    return f"{group}.{_read_string(token, len(group) + 1)}"


# --- mistakes ----------------------------------------------------------------------------------------------------


def _syntax_error(error: "UnexpectedInput", text: str) -> ExpressionError:
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if isinstance(error, UnexpectedCharacters):
        place = error.pos_in_stream or 0
        sign = text[place]
        reason = "this quote is not closed." if sign in "\"'" else f"{sign} stands for nothing here; not equal is !=."
        return ExpressionError(sign, place, reason)
    assert isinstance(error, UnexpectedToken)
    token, accepted = error.token, set(error.accepts or error.expected)
    if token.type == "$END":
        return ExpressionError("", len(text.rstrip()), _expectation(accepted, ""))
    return ExpressionError(str(token), token.start_pos or 0, _expectation(accepted, str(token)))


_EXPECTATIONS: tuple[tuple[Callable[[set[str]], bool], str], ...] = (
    (lambda accepted: {"WORD", "_LPAR"} <= accepted, f"a condition is expected here, such as {EXAMPLE}."),
    (lambda accepted: "WORD" in accepted, "a value is expected here, such as dogs, 0.1 or 10%."),
    (lambda accepted: "COMPARE" in accepted, "after a field comes =, !=, <, <=, >, >=, in, contains or is missing."),
    (lambda accepted: "_LPAR" in accepted, "after in comes a list in parentheses, such as (cats, dogs)."),
    (lambda accepted: "_MISSING" in accepted, "after is comes missing or not missing."),
    (lambda accepted: accepted == {"IN"}, "after not comes in, as in label not in (cats, dogs)."),
    (lambda accepted: "_COMMA" in accepted, "a comma or the closing parenthesis of the list is expected here."),
)
"""What the parser accepts in place of a mistake -> what a message says is expected."""

_AFTER_CONDITION: dict[str, str] = {
    "": "a parenthesis is not closed.",
    ")": "this parenthesis closes none.",
    ",": "a decimal number has a point, 0.1, and a list stands in parentheses after in.",
}
"""What follows a condition by mistake -> what a message says of it."""


def _expectation(accepted: set[str], word: str) -> str:
    """What was expected in place of this word; the word is empty at the end of the text."""
    if word.lower() in KEYWORDS and "WORD" in accepted:
        return f'{word} is a word of the language: as a name or a value it is written "{word}".'
    expected = next((sentence for applies, sentence in _EXPECTATIONS if applies(accepted)), "")
    if expected or word in _AFTER_CONDITION:
        return expected or _AFTER_CONDITION[word]
    if word[0] in "=!<>":
        return "a condition has one operator; two conditions are joined by and."
    return '"and" or "or" is expected before this; a name with spaces stands in quotes.'
