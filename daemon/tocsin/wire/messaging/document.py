"""The text of a client message as a JSON object, or why it is ignored (messaging.md, MS-16).

`wire/strictjson` reads it. What that refuses is looked at again, to tell what deserves an answer
from what does not: a lone surrogate is a mistake inside a message (MS-22), and so is a number
beyond a double, which is JSON all the same. orjson refuses both, so they are taken out; a text that
can be read afterwards had nothing else wrong with it.
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


class Flaw(enum.StrEnum):
    """What is wrong inside a message that can be read nevertheless, in words for its sender."""

    SURROGATE = "a lone surrogate"
    NUMBER = "a number out of range"


class _RepeatedNameError(ValueError):
    """A name stands in an object twice."""


class _NotANumberError(ValueError):
    """NaN or Infinity."""


@attrs.frozen
class Document:
    """The members of an object, without its flaw: lone surrogates are now U+FFFD; with a number out
    of range all numbers are 0."""

    members: dict[str, Any]
    flaw: Flaw | None = None


def read(text: str | bytes) -> Document | Reason:
    """The object in a message, whatever it is about."""
    try:
        value = strictjson.loads(text.encode() if isinstance(text, str) else text)
    except ValueError:
        return _read_again(text)
    return _document(value)


def _document(value: object, flaw: Flaw | None = None) -> Document | Reason:
    return Document(value, flaw) if isinstance(value, dict) else Reason.NOT_AN_OBJECT


def _read_again(text: str | bytes) -> Document | Reason:
    try:
        text = text if isinstance(text, str) else text.decode()
    except ValueError:
        return Reason.NOT_JSON
    # Without escaped backslashes every backslash begins an escape.
    mended = _LONE.sub(REPLACEMENT, text.replace("\\\\", "\\u005c"))
    try:
        return _document(strictjson.loads(mended.encode()), Flaw.SURROGATE)
    except ValueError:
        return _read_without_numbers(mended)


def _read_without_numbers(text: str) -> Document | Reason:
    """A text that is not strict JSON: if its numbers are all that is wrong, there is an object."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_never,
            parse_int=_zero,
            parse_float=_zero,
        )
    except RecursionError:
        return Reason.TOO_DEEP
    except _RepeatedNameError:
        return Reason.REPEATED_NAME
    except _NotANumberError:
        return Reason.NOT_A_NUMBER
    except ValueError:
        return Reason.NOT_JSON
    try:
        return _document(strictjson.loads(orjson.dumps(value)), Flaw.NUMBER)
    except (ValueError, TypeError):
        return Reason.TOO_DEEP


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedNameError
    return members


def _never(_word: str) -> NoReturn:
    raise _NotANumberError


def _zero(_digits: str) -> int:
    return 0
