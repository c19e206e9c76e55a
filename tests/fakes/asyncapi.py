"""What is said on sockets and POSTed, held against the AsyncAPI document (OP-19).

What a server says has no members that its schema does not name.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import orjson
from tests.fakes.described import OFTEN, closed

from tocsin.app.descriptions import served
from tocsin.config import parse
from tocsin.server.description.asyncapi import asyncapi


class Spoken:
    """The messages of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        components = document["components"]
        self._schemas = closed({"schemas": components["schemas"]})
        self._messages = components["messages"]
        self._validators: dict[tuple[str, str], jsonschema.Draft202012Validator] = {}
        self._heard: dict[str, int] = {}

    @property
    def names(self) -> set[str]:
        """Of all messages."""
        return set(self._messages)

    def check(self, name: str, payload: object) -> None:
        """Raise ValidationError unless it is as the message's schema says."""
        self._validator(name, "payload").validate(payload)

    def check_headers(self, name: str, headers: dict[str, str]) -> None:
        """The same of its headers."""
        self._validator(name, "headers").validate(headers)

    def heard(self, name: str, text: str | bytes) -> None:
        """The same of a text that came from a daemon, as long as it is not one of very many."""
        self._heard[name] = self._heard.get(name, 0) + 1
        if self._heard[name] <= OFTEN:
            self.check(name, orjson.loads(text))

    def _validator(self, name: str, part: str) -> jsonschema.Draft202012Validator:
        found = self._validators.get((name, part))
        if found is None:
            schema = self._messages[name][part]
            whole = schema if name.startswith("client.") else closed(schema)
            found = jsonschema.Draft202012Validator({**whole, "components": self._schemas})
            self._validators[name, part] = found
        return found


@lru_cache(maxsize=1)
def spoken() -> Spoken:
    """What the document of the default configuration says of messages."""
    told = served(parse({}, folder=Path(), environ={}, checks={}))
    return Spoken(asyncapi(told))


def heard_on_socket(text: str | bytes) -> None:
    """Hold what came over a notification socket against its message: its root key tells which."""
    [root_key] = orjson.loads(text)
    known = root_key in {"connCheck", "connAck", "channelResumed"}
    spoken().heard(root_key if known else "notification", text)


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
