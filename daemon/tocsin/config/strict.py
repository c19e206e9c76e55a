"""From a parsed TOML document to Settings classes, without any coercion (OP-6).

cattrs walks the classes; here are the hooks that make it strict: `"80"` is not 80, `true` is not
1, 3 is not `"3"`; only a whole number will do where a fraction is due. Unknown keys are errors,
and each option's validator runs on its own field, so that one pass finds every mistake.
"""

import math
from collections.abc import Callable
from typing import Any

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from tocsin.config import kinds
from tocsin.config.secrets import SecretSource, is_reference

MOST = 10_000_000_000
"""Beyond all that any option can mean; days that many, in milliseconds, still fit 64 bits."""

Hook = Callable[[Any, Any], Any]


def make_converter(secrets: SecretSource) -> cattrs.Converter:
    """A converter that takes nothing for anything else; strings may refer to `secrets`."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, lambda value, _: _string(value, secrets))
    converter.register_structure_hook(bool, _exactly)
    converter.register_structure_hook(int, _exactly)
    converter.register_structure_hook(float, _fraction)
    converter.register_structure_hook_factory(kinds.is_union, _union_hook)
    converter.register_structure_hook_factory(kinds.is_list, _list_hook)
    converter.register_structure_hook_factory(kinds.is_mapping, _mapping_hook)
    converter.register_structure_hook_factory(attrs.has, _settings_hook)
    return converter


def structure_field(value: Any, field: "attrs.Attribute[Any]", converter: cattrs.Converter) -> Any:
    """The value of one field of a Settings class; raises what says why it is none."""
    return _valid(field, converter)(value, field.type)


def _expected(kind: Any, value: object) -> TypeError:
    return TypeError(f"must be {kinds.describe(kind)}, not {_shown(value)}")


def _shown(value: object) -> str:
    """What stands in the file; of a string only that it is one, for it may be a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    words: dict[type, str] = {str: "a string", list: "a list", dict: "a table"}
    return words.get(type(value), "a date or time")


def _string(value: object, secrets: SecretSource) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("must not have a NUL in it")
        return value
    if isinstance(value, dict) and value:
        return secrets.resolve(value)
    raise _expected(str, value)


def _exactly(value: object, kind: type) -> object:
    if type(value) is not kind:
        raise _expected(kind, value)
    return _possible(value) if isinstance(value, int) else value


def _fraction(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected(float, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(_possible(value))


def _possible(value: float) -> float:
    if abs(value) > MOST:
        raise ValueError(f"must be at most {MOST:_}")
    return value


def _union_hook(union: Any, converter: cattrs.Converter) -> Hook:
    """The outer shape of a value picks the member, so that a list's own mistakes are seen.

    A table is a string only where it is a reference, or nothing else is possible.
    """

    def structure(value: Any, _: Any) -> Any:
        fitting = [member for member in kinds.members(union) if kinds.fits(value, member)]
        if not fitting:
            raise _expected(union, value)
        is_string = isinstance(value, str) or is_reference(value)
        member = max(fitting, key=lambda member: (member is str) is is_string)
        return converter.structure(value, member)

    return structure


def _list_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    each: Hook = list_structure_factory(kind, converter)
    return _only(list, kind, each)


def _mapping_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    return _only(dict, kind, make_mapping_structure_fn(kind, converter))


def _settings_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    fields = attrs.fields(attrs.resolve_types(kind))
    overrides: dict[str, Any] = {
        field.name: override(struct_hook=_valid(field, converter)) for field in fields
    }
    build: Hook = make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_use_linecache=False, **overrides
    )
    return _only(dict, kind, build)


def _only(shape: type, kind: Any, inner: Hook) -> Hook:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, shape):
            raise _expected(kind, value)
        return inner(value, kind)

    return structure


def _valid(field: "attrs.Attribute[Any]", converter: cattrs.Converter) -> Hook:
    """One field with its own validator: attrs would stop at the first bad field of a class."""

    def structure(value: Any, kind: Any) -> Any:
        result = converter.structure(value, kind)
        if field.validator is not None:
            field.validator(None, field, result)
        return result

    return structure
