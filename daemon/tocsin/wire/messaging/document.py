"""The text of a client message as a JSON object, or why it is ignored (messaging.md, MS-16).

`wire/strictjson` reads it. What that refuses is looked at again, to tell what deserves an answer
from what does not: a lone surrogate is a mistake inside a message (MS-22). orjson refuses those,
so they are taken out; a text that can be read afterwards had nothing else wrong with it.
"""

import enum
import json
import re
from typing import Any, Final, NoReturn

import attrs
import orjson

from tocsin.wire import strictjson

REPLACEMENT: Final = "\ufffd"
_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE: Final = re.compile(rf"[\ud800-\udfff]|{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")


class Reason(enum.StrEnum):
    """Why a message is ignored; fit for metrics (MS-16, MS-71)."""

    NOT_JSON = "not-json"
    REPEATED_NAME = "repeated-name"
    NOT_A_NUMBER = "not-a-number"
    TOO_DEEP = "too-deep"
    NOT_AN_OBJECT = "not-an-object"
    NO_TYPE = "no-type"
    UNKNOWN_TYPE = "unknown-type"


class _RepeatedNameError(ValueError):
    """A name stands in an object twice."""


class _NotANumberError(ValueError):
    """NaN or Infinity."""


@attrs.frozen
class Document:
    """The members of an object. `is_mended`: it had lone surrogates, which are now U+FFFD."""

    members: dict[str, Any]
    is_mended: bool = False


def read(text: str | bytes) -> Document | Reason:
    """The object in a message, whatever it is about."""
    try:
        value = strictjson.loads(text.encode() if isinstance(text, str) else text)
    except ValueError:
        return _read_again(text)
    return Document(value) if isinstance(value, dict) else Reason.NOT_AN_OBJECT


def _read_again(text: str | bytes) -> Document | Reason:
    try:
        text = text if isinstance(text, str) else text.decode()
    except ValueError:
        return Reason.NOT_JSON
    # Without escaped backslashes every backslash begins an escape.
    mended = _LONE.sub(REPLACEMENT, text.replace("\\\\", "\\u005c"))
    try:
        value = strictjson.loads(mended.encode())
    except ValueError:
        return _reason(mended)
    return Document(value, is_mended=True) if isinstance(value, dict) else Reason.NOT_AN_OBJECT


def _reason(text: str) -> Reason:
    """What is wrong with a text that is not strict JSON. Numbers beyond a double count as what
    other readers make of them, Infinity."""
    try:
        json.loads(text, object_pairs_hook=_unique, parse_constant=_never, parse_int=float)
    except RecursionError:
        return Reason.TOO_DEEP
    except _RepeatedNameError:
        return Reason.REPEATED_NAME
    except _NotANumberError:
        return Reason.NOT_A_NUMBER
    except ValueError:
        return Reason.NOT_JSON
    try:
        orjson.loads(text)
    except ValueError:
        return Reason.NOT_A_NUMBER
    return Reason.TOO_DEEP


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _RepeatedNameError


def _never(_word: str) -> NoReturn:
    raise _NotANumberError
