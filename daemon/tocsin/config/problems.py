"""The nested errors of cattrs as flat lines `path: what is wrong`."""

from collections.abc import Iterator

import attrs
from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from tocsin.config.catalogue import entries, suggestion


def describe_problems(error: Exception, root: type) -> list[str]:
    """Every mistake in the order of the document's classes, each on a line of its own."""
    known = [entry.path for entry in entries(root)]
    return list(_lines(error, "", known))


def _lines(error: Exception, path: str, known: list[str]) -> Iterator[str]:
    if isinstance(error, ClassValidationError):
        named, others = error.group_exceptions()
        for inner, note in named:
            yield from _lines(inner, f"{path}.{note.name}".lstrip("."), known)
        for inner in others:
            yield from _lines(inner, path, known)
    elif isinstance(error, IterableValidationError):
        elements, _ = error.group_exceptions()
        for inner, place in elements:
            yield from _lines(inner, _element(path, place.index), known)
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            siblings = [f"{path}.{field.name}".lstrip(".") for field in attrs.fields(error.cl)]
            yield _unknown(f"{path}.{name}".lstrip("."), siblings + known)
    elif isinstance(error, KeyError):
        yield f"{path}: is missing"
    else:
        yield f"{path}: {error}"


def _element(path: str, index: int | str) -> str:
    return f"{path}[{index}]" if isinstance(index, int) else f"{path}.{index}"


def _unknown(path: str, known: list[str]) -> str:
    meant = suggestion(path, known)
    return f"{path}: unknown option" + (f", did you mean {meant}?" if meant else "")
