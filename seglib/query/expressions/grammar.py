"""The grammar of expressions, for lark's LALR parser, and the shape of its words.

Importing this module does not import lark.
"""

import re

KEYWORDS = ("and", "or", "not", "in", "contains", "is", "missing")
"""Words of the language, in any case; as a name or a value they stand in quotes."""

_LETTER = r"[^\s()\",=!<>]"
"""A character of a bare word."""
_BARE = rf"(?!'){_LETTER}+"
_IN_QUOTES = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"

WORD = re.compile(_BARE)


def _keyword(word: str) -> str:
    return rf"/{word}(?!{_LETTER})/i"


GRAMMAR = rf"""
?start: disjunction
?disjunction: conjunction (_OR conjunction)*
?conjunction: negation (_AND negation)*
?negation: NOT negation -> negate
    | _LPAR disjunction _RPAR
    | comparison

comparison: name COMPARE value
    | name CONTAINS value
    | name IN values
    | name NOT IN values -> not_in
    | name _IS _MISSING -> missing
    | name _IS NOT _MISSING -> not_missing

values: _LPAR value (_COMMA value)* _RPAR
name: WORD -> bare_name
    | STRING -> quoted_name
    | DOTTED -> dotted_name
    | PERCENT -> percent
value: WORD -> bare_value
    | PERCENT -> percent
    | STRING -> quoted_value

_OR.2: {_keyword("or")}
_AND.2: {_keyword("and")}
NOT.2: {_keyword("not")}
IN.2: {_keyword("in")}
CONTAINS.2: {_keyword("contains")}
_IS.2: {_keyword("is")}
_MISSING.2: {_keyword("missing")}
COMPARE: /[=!<>]=|[=<>]/
DOTTED.3: /(?!'){_LETTER.replace("[^", "[^.")}+\.(?:{_IN_QUOTES})/s
PERCENT.2: /[+-]?[0-9.]+\s*%(?!{_LETTER})/
STRING.2: /{_IN_QUOTES}/s
WORD.1: /{_BARE}/
_LPAR: "("
_RPAR: ")"
_COMMA: ","
%ignore /\s+/
"""
