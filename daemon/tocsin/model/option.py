"""Declaring a configuration option next to its user.

A Settings class is a frozen attrs class whose fields are made with `option` (one value) or
`section` (a nested Settings class). The help line ends up in `config/tocsin.toml` and in the
reference; the bounds are checked when a file is read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

HELP = "help"
SECRET = "secret"


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

    `check` returns what is wrong with a value, in words for the operator, or None.
    """

    def validate(_instance: object, _attribute: object, value: Any) -> None:
        problem = None
        if choices and value not in choices:
            problem = f"must be one of {', '.join(choices)}"
        elif minimum is not None and value is not None and value < minimum:
            problem = f"must be at least {minimum:g}"
        elif maximum is not None and value is not None and value > maximum:
            problem = f"must be at most {maximum:g}"
        elif check is not None and value is not None:
            problem = check(value)
        if problem:
            raise ValueError(problem)

    return attrs.field(
        default=attrs.Factory(lambda: list(default)) if isinstance(default, list) else default,
        validator=validate,
        metadata={HELP: help, SECRET: secret},
        repr=not secret,
    )


def section(settings: type, help: str) -> Any:  # noqa: A002 - it is the help
    """A nested table of options."""
    return attrs.field(factory=settings, metadata={HELP: help})
