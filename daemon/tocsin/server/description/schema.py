"""Words to write JSON Schemas with (2020-12, as OpenAPI 3.1 and AsyncAPI 3.0 have them).

A member whose name ends in `?` may be absent. Answers are `record`s: what is named is all there
is, though a reader must not rely on that. Requests are `request`s: what may be absent may also be
null, and unknown members are ignored unless they are `closed`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object", "additionalProperties": True}
ANYTHING: Final[Schema] = {}
EPOCH_MS: Final[Schema] = {"type": "integer", "description": "Epoch milliseconds."}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
DIGITS: Final[Schema] = {"type": "string", "pattern": "^[0-9]+$"}
NUMBER: Final[Schema] = {"anyOf": [INTEGER, DIGITS]}
"""An integer, or its digits (CH-4)."""
OPTIONAL: Final = "?"


def ref(name: str) -> Schema:
    """The schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def said(schema: Schema, description: str, **more: Any) -> Schema:
    """A schema with something said about it."""
    return {**schema, "description": description, **more}


def text(least: int = 1, most: int | None = None, **more: Any) -> Schema:
    """A string of so many characters."""
    bounds = {"minLength": least} | ({} if most is None else {"maxLength": most})
    return {"type": "string", **bounds, **more}


def matching(pattern: str, **more: Any) -> Schema:
    """A string that a pattern matches whole."""
    return {"type": "string", "pattern": f"^(?:{pattern})$", **more}


def any_case(words: Iterable[str], **more: Any) -> Schema:
    """One of these words, without regard to case."""
    return matching("|".join(map(_any_case, words)), **more)


def one_of(words: Iterable[Any], **more: Any) -> Schema:
    """One of these values."""
    return {"enum": list(words), **more}


def listed(items: Schema, most: int | None = None, **more: Any) -> Schema:
    """A list."""
    bound = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": items, **bound, **more}


def judged_one_by_one(items: Schema, most: int | None = None) -> Schema:
    """A list of these; what is none of them is told so in its own answer, and the rest is taken."""
    return listed({"anyOf": [items, ANYTHING]}, most, description="Each is judged on its own.")


def either(*schemas: Schema, **more: Any) -> Schema:
    """Exactly one of these."""
    return {"oneOf": list(schemas), **more}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return schema if not schema else {"anyOf": [schema, {"type": "null"}]}


def record(members: Mapping[str, Schema], **more: Any) -> Schema:
    """An object of an answer."""
    return _object(members, **more)


def request(members: Mapping[str, Schema], *, closed: bool = False, **more: Any) -> Schema:
    """An object of a request."""
    given = {
        name: nullable(schema) if name.endswith(OPTIONAL) else schema
        for name, schema in members.items()
    }
    return _object(given, additionalProperties=not closed, **more)


def _object(members: Mapping[str, Schema], **more: Any) -> Schema:
    required = [name for name in members if not name.endswith(OPTIONAL)]
    properties = {name.removesuffix(OPTIONAL): schema for name, schema in members.items()}
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        **more,
    }


def _any_case(word: str) -> str:
    return "".join(f"[{one.upper()}{one.lower()}]" if one.isalpha() else one for one in word)
