"""Write names and values of expressions with quotes where they need them, and read them.

A text in quotes, single or double, has the escapes of JSON, but for pairs of surrogates, and \\' and \\UXXXXXXXX.
"""

import re

from seglib.query.expressions.grammar import KEYWORDS, WORD

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)


def read_quoted(text: str) -> str:
    """The text in quotes. Raises `ValueError` with the escape that does not exist."""
    return _ESCAPE.sub(_unescape, text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1 and _is_character(number := int(code[1:], 16)):
        return chr(number)
    if code not in _ESCAPES:
        raise ValueError(match[0])
    return _ESCAPES[code]


def _is_character(number: int) -> bool:
    """Whether it is a code point of Unicode, but not half of a character of UTF-16."""
    return number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF


def write_value(value: str) -> str:
    """`dogs`, `"two words"`: a value as it is written in an expression."""
    return value if _is_bare(value) else _quote(value)


def write_name(name: str) -> str:
    """`share.cat`, `share."dining table"`, `"focal length"`: a field's name as it is written in an expression."""
    group, dot, rest = name.partition(".")
    if _is_bare(name):
        return name
    return f"{group}.{_quote(rest)}" if dot and _is_word(group) else _quote(name)


def _is_bare(text: str) -> bool:
    return _is_word(text) and text.lower() not in KEYWORDS


def _is_word(text: str) -> bool:
    return bool(WORD.fullmatch(text)) and text.isprintable()


def _quote(text: str) -> str:
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(sign: str) -> str:
    if sign in '"\\':
        return "\\" + sign
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}"
