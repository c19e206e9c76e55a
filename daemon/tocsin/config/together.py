"""Rules across several options, judged also where some option is wrong in itself (OP-6).

So that one run tells every mistake, what is right of a wrong document is salvaged, with `UNKNOWN`
in the place of each wrong value. A rule that looks at one of those says nothing: it would only
tell of what follows from a mistake that is told already.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import attrs
import cattrs

from tocsin.config.strict import structure_field

Rule = Callable[[Any], Iterable[str]]
Checks = Mapping[type, Sequence[Rule]]


class _UnknownError(Exception):
    """Somebody wants to know a value that is wrong."""


class _Unknown:
    """Says nothing about itself, not even whether it is true."""

    def _refuse(self, *_others: object) -> NoReturn:
        raise _UnknownError

    __getattr__ = __getitem__ = __contains__ = __iter__ = __len__ = __bool__ = __hash__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __mul__ = _refuse
    __fspath__ = _refuse


UNKNOWN = _Unknown()


def impossible_together(config: attrs.AttrsInstance, checks: Checks) -> list[str]:
    """What is wrong with a whole configuration and with each of its tables, by the rules for
    their classes; each line names its path."""
    tables = [getattr(config, field.name) for field in attrs.fields(type(config))]
    problems: list[str] = []
    for table in [*tables, config]:
        for rule in checks.get(type(table), ()):
            try:
                problems += rule(table)
            except _UnknownError:
                continue
    return problems


def salvaged(value: Any, kind: Any, converter: cattrs.Converter) -> Any:
    """An instance of a Settings class, made of what is right in a document."""
    if not isinstance(value, dict):
        return UNKNOWN
    fields = attrs.fields(attrs.resolve_types(kind))
    meant = _probably_meant(value, [field.name for field in fields])
    instance = object.__new__(kind)
    for field in fields:
        found = UNKNOWN if field.name in meant else _salvaged_field(value, field, converter)
        # Its own constructor would judge what is known to be wrong.
        object.__setattr__(instance, field.name, found)
    return instance


def _probably_meant(value: Mapping[str, Any], names: list[str]) -> set[str]:
    """Options somebody has written with a slip, who will not want to hear that they are not set."""
    absent = [name for name in names if name not in value]
    slips = (difflib.get_close_matches(name, absent, n=1) for name in value if name not in names)
    return {name for close in slips for name in close}


def _salvaged_field(
    value: Mapping[str, Any], field: "attrs.Attribute[Any]", converter: cattrs.Converter
) -> Any:
    if field.name not in value:
        return _default(field)
    if attrs.has(field.type):  # type: ignore[arg-type] # has() takes anything
        return salvaged(value[field.name], field.type, converter)
    try:
        return structure_field(value[field.name], field, converter)
    except (cattrs.BaseValidationError, ValueError, TypeError):
        return UNKNOWN


def _default(field: "attrs.Attribute[Any]") -> Any:
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type] # a class at run time
        return field.default.factory()  # type: ignore[union-attr]
    return UNKNOWN if field.default is attrs.NOTHING else field.default
