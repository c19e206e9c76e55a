"""What is said on sockets, held against the AsyncAPI document (OP-19)."""

from typing import Any

import jsonschema
from tests.fakes.described import closed


class Spoken:
    """The messages of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        components = document["components"]
        self._schemas = closed({"schemas": components["schemas"]})
        self._messages = components["messages"]

    @property
    def names(self) -> set[str]:
        """Of all messages."""
        return set(self._messages)

    def check(self, name: str, payload: object) -> None:
        """Raise ValidationError unless it is as the message's schema says; what a server says has
        no members that the schema does not name."""
        schema = self._messages[name]["payload"]
        self._validate(schema if name.startswith("client.") else closed(schema), payload)

    def check_headers(self, name: str, headers: dict[str, str]) -> None:
        """The same of its headers."""
        self._validate(self._messages[name]["headers"], headers)

    def _validate(self, schema: dict[str, Any], value: object) -> None:
        whole = {**schema, "components": self._schemas}
        jsonschema.Draft202012Validator(whole).validate(value)


def dereferenced(document: dict[str, Any]) -> None:
    """Raise LookupError for a reference within the document that leads nowhere."""
    for target in _references(document):
        found: Any = document
        for part in target.removeprefix("#/").split("/"):
            found = found[part]


def _references(whole: Any) -> list[str]:
    if isinstance(whole, list):
        return [target for one in whole for target in _references(one)]
    if not isinstance(whole, dict):
        return []
    own = [whole["$ref"]] if isinstance(whole.get("$ref"), str) else []
    return own + [target for one in whole.values() for target in _references(one)]
