"""Declaring a configuration option next to its user.

A Settings class is a frozen attrs class whose fields are made with `option` (one value) or
`section` (a nested Settings class). The help line ends up in `config/tocsin.toml` and in the
reference; the bounds are checked when a file is read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

HELP = "help"
SECRET = "secret"  # noqa: S105 - the name of a mark
ALLOWED = "allowed"


def option(
    default: Any,
    help: str,  # noqa: A002 - it is the help
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    check: Callable[[Any], str | None] | None = None,
    secret: bool = False,
) -> Any:
    """One option: its default, a one-line help, and what values are possible.

    Bounds and choices hold for every element where the value is a list; None is always
    possible. `check` returns what is wrong with the whole value, in words for the operator,
    or None.
    """

    def validate(_instance: object, _attribute: object, value: Any) -> None:
        if value is None:
            return
        for element in value if isinstance(value, list | tuple) else [value]:
            _refuse(_out_of_bounds(element, minimum, maximum) or _not_among(element, choices))
        _refuse(check(value) if check is not None else None)

    return attrs.field(
        default=_fresh(default),
        validator=validate,
        metadata={HELP: help, SECRET: secret, ALLOWED: _allowed(minimum, maximum, choices)},
        repr=not secret,
    )


def not_empty(value: str | list[Any]) -> str | None:
    """A `check` of what must have something in it."""
    return None if value else "must not be empty"


def section(settings: type, help: str) -> Any:  # noqa: A002 - it is the help
    """A nested table of options."""
    return attrs.field(factory=settings, metadata={HELP: help})


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValueError(problem)


def _fresh(default: Any) -> Any:
    """A container default is copied for each instance, so that none is shared."""
    if isinstance(default, list | dict):
        return attrs.Factory(default.copy)
    return default


def _out_of_bounds(value: Any, minimum: float | None, maximum: float | None) -> str | None:
    if minimum is not None and value < minimum:
        return f"must be at least {_number(minimum)}"
    if maximum is not None and value > maximum:
        return f"must be at most {_number(maximum)}"
    return None


def _not_among(value: Any, choices: Sequence[str]) -> str | None:
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}"
    return None


def _allowed(minimum: float | None, maximum: float | None, choices: Sequence[str]) -> str:
    """The possible values, for the reference."""
    if choices:
        return f"one of {', '.join(choices)}"
    if minimum is not None and maximum is not None:
        return f"{_number(minimum)} to {_number(maximum)}"
    if minimum is not None:
        return f"at least {_number(minimum)}"
    return f"at most {_number(maximum)}" if maximum is not None else ""


def _number(value: float) -> str:
    return f"{value:_}" if value >= 10_000 else f"{value:g}"
