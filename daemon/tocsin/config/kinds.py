"""The types an option may have, told apart and put into words."""

import types
import typing
from typing import Any

import attrs

WORDS = {
    str: ("a string", "strings"),
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
}
TABLE = ("a table", "tables")


def is_union(kind: Any) -> bool:
    """`X | Y`, `X | None`."""
    return typing.get_origin(kind) in {typing.Union, types.UnionType}


def is_list(kind: Any) -> bool:
    """`list[X]`"""
    return typing.get_origin(kind) is list


def is_mapping(kind: Any) -> bool:
    """`dict[str, X]`"""
    return typing.get_origin(kind) is dict


def members(kind: Any) -> list[Any]:
    """What a value may be, None apart; of a type that is no union, itself."""
    if not is_union(kind):
        return [kind]
    return [member for member in typing.get_args(kind) if member is not types.NoneType]


def entry_settings(kind: Any) -> type | None:
    """The Settings class X of `dict[str, X]`, or None."""
    if not is_mapping(kind):
        return None
    settings: type = typing.get_args(kind)[1]
    return settings if attrs.has(settings) else None


def describe(kind: Any, *, plural: bool = False) -> str:
    """A type as an operator reads it: `a string or a list of strings`."""
    return " or ".join(_describe(member, plural=plural) for member in members(kind))


def _describe(kind: Any, *, plural: bool) -> str:
    if is_list(kind):
        (element,) = typing.get_args(kind)
        return f"{'lists' if plural else 'a list'} of {describe(element, plural=True)}"
    return WORDS.get(kind, TABLE)[plural]


def fits(value: object, kind: Any) -> bool:
    """Whether a parsed TOML value has the outer shape of this member of a union."""
    if is_list(kind):
        return isinstance(value, list)
    if is_mapping(kind) or attrs.has(kind):
        return isinstance(value, dict)
    if kind is str:
        return isinstance(value, str | dict)  # a table may be a reference to a secret
    return type(value) is kind or (kind is float and type(value) is int)
