"""Holds what is asked and answered against the OpenAPI documents (OP-19).

`check` raises `LieError` where an answer is none of those that the document has for its operation,
in status, media type, headers or body, where a request that was taken is not described so, and
where something undescribed was served. Objects of answers are held to the members that are named.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import orjson

from tocsin.app.descriptions import served
from tocsin.config import Config, ConfigError, load
from tocsin.server.description import document

PLACEHOLDER = re.compile(r"\\{\w+\\}")
UNDESCRIBED = {400, 401, 403, 404, 405, 413, 431}
"""What may be answered where nothing is: told apart by what is judged first."""
OFTEN = 200
"""Of one kind of answer so many are looked at; tests under load make thousands."""


class LieError(AssertionError):
    """The document and the daemon say different things."""


@attrs.frozen
class Exchanged:
    """A request and its answer; header names in lower case."""

    method: str
    target: str
    sent: bytes
    sent_type: str | None
    status: int
    headers: Mapping[str, str]
    body: bytes


class Described:
    """One OpenAPI document."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self.whole = whole
        self._components = closed(whole["components"])
        self._paths = [
            (re.compile(PLACEHOLDER.sub("[^/]+", re.escape(path))), path)
            for path in sorted(whole["paths"], key=_literal_first)
        ]
        self._seen: dict[tuple[str, str, int], int] = {}

    def check(self, one: Exchanged) -> None:
        """Raise LieError where one of them does not tell the truth."""
        path = self.path_of(one.target)
        operation = {} if path is None else self.whole["paths"][path].get(one.method.lower())
        if not operation:
            if one.status not in UNDESCRIBED and one.method not in {"OPTIONS", "HEAD"}:
                raise LieError(f"{one.method} {one.target} is not described: {one.status}")
            return
        key = (one.method, str(path), one.status)
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] > OFTEN:
            return
        try:
            self._check_answer(operation, one)
            self._check_request(operation, one)
        except (LieError, jsonschema.ValidationError) as lie:
            raise LieError(f"{one.method} {path} {one.status} {one.body[:300]!r}: {lie}") from None

    def path_of(self, target: str) -> str | None:
        """The path of the document that a target is at."""
        at = target.partition("?")[0]
        at = at.removesuffix("/") or at
        return next((path for pattern, path in self._paths if pattern.fullmatch(at)), None)

    def _check_answer(self, operation: dict[str, Any], one: Exchanged) -> None:
        answer = operation["responses"].get(str(one.status))
        if answer is None:
            raise LieError("no such status")
        for name, header in answer.get("headers", {}).items():
            if header["required"] and name.lower() not in one.headers:
                raise LieError(f"no {name}")
        content = answer.get("content", {})
        if not one.body or not content:
            if one.body:
                raise LieError("has a body")
            return
        media_type = one.headers.get("content-type")
        if media_type not in content:
            raise LieError(f"is {media_type}")
        value = one.body.decode()
        if media_type.startswith("application/json"):
            value = orjson.loads(one.body)
        self._validate(closed(content[media_type]["schema"]), value, self._components)

    def _check_request(self, operation: dict[str, Any], one: Exchanged) -> None:
        content = operation.get("requestBody", {}).get("content", {})
        media_type = (one.sent_type or "application/json").partition(";")[0].lower()
        is_json = media_type.endswith("json") and media_type in content
        if is_json and one.sent and 200 <= one.status < 300:
            schema = content[media_type]["schema"]
            self._validate(schema, orjson.loads(one.sent), self.whole["components"])

    def _validate(self, schema: dict[str, Any], value: object, components: object) -> None:
        jsonschema.Draft202012Validator({**schema, "components": components}).validate(value)


def closed(schema: Any) -> Any:
    """The same in which objects have no members but those that are named."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def described(config: Config) -> tuple[Described, Described]:
    """The documents of both listeners of a daemon, the public one's first."""
    told = served(config)
    return Described(document.public(told)), Described(document.admin(told))


@lru_cache(maxsize=8)
def _of_text(file: Path, _text: bytes) -> tuple[Described, Described] | None:
    try:
        return described(load(str(file), {}))
    except ConfigError:
        return None


_ADDRESSES: dict[str, tuple[Path, int]] = {}


def listens(file: Path, *addresses: str) -> None:
    """A daemon with this configuration is at these addresses, the public one first."""
    for number, address in enumerate(addresses):
        _ADDRESSES[address] = (file, number)


def listens_no_more(file: Path) -> None:
    """Whoever has its addresses from now on is somebody else."""
    for address in [one for one, (known, _) in _ADDRESSES.items() if known == file]:
        del _ADDRESSES[address]


def check_at(address: str, one: Exchanged) -> None:
    """Hold it against the document of whoever listens there, if that is known."""
    if address in _ADDRESSES:
        file, number = _ADDRESSES[address]
        documents = _of_text(file, file.read_bytes())
        if documents is not None:
            documents[number].check(one)


_CONFIGS: list[tuple[Config, tuple[Described, Described]]] = []


def check_with(config: Config, one: Exchanged, *, admin: bool) -> None:
    """Hold it against the document of a daemon with this configuration."""
    for known, documents in _CONFIGS:
        if known is config:
            documents[admin].check(one)
            return
    _CONFIGS[:] = [(config, described(config)), *_CONFIGS[:3]]
    check_with(config, one, admin=admin)


def _literal_first(path: str) -> list[bool]:
    return ["{" in segment for segment in path.split("/")]
