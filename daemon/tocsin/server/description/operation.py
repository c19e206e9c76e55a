"""One operation of the REST API, and what operations have in common."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs

from tocsin.server.description.schema import STRING, Schema, ref, text

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
PLAIN: Final = "text/plain; charset=UTF-8"
BEARER: Final = "bearer"
QUERY_TOKEN: Final = "queryToken"  # noqa: S105 - the name of a scheme
ALWAYS: Final = (400, 413, 431)
"""What any request may be refused with: malformed, a body or a head that is too large."""
GUARDED: Final = (401, 403, 429, 503)
WAITING: Final = frozenset({429, 503})


@attrs.frozen(kw_only=True)
class Operation:
    """A method on a path; `path` is the router's pattern, whose placeholders are described for it.

    `scope` is the token's, None where none is asked for. `security` stands in place of the bearer
    token, where that is not all. `refusals` are the statuses of `refused_as`, next to `answers`.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Schema]
    scope: str | None = None
    description: str | None = None
    parameters: Sequence[Schema] = ()
    body: Schema | None = None
    security: Sequence[Mapping[str, Sequence[str]]] | None = None
    refusals: Iterable[int] = ()
    refused_as: Schema = attrs.field(factory=lambda: ref("RequestError"))

    def as_dict(self, path_parameters: Sequence[Schema]) -> Schema:
        """The Operation Object."""
        members: dict[str, Any] = {
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
            "parameters": [*path_parameters, *self.parameters] or None,
            "requestBody": self.body,
            "security": self._security(),
            "responses": self._responses(),
        }
        return {name: value for name, value in members.items() if value is not None}

    def _security(self) -> list[Mapping[str, Sequence[str]]]:
        if self.security is not None:
            return list(self.security)
        return [] if self.scope is None else [{BEARER: [self.scope]}]

    def _responses(self) -> dict[str, Schema]:
        refused = {one: refusal(one, self.refused_as) for one in self.refusals}
        return {str(status): one for status, one in sorted({**refused, **self.answers}.items())}


def guarded(*more: int) -> tuple[int, ...]:
    """The refusals of an operation that wants a token and answers JSON."""
    return (*ALWAYS, *GUARDED, 406, *more)


def refusal(status: int, schema: Schema) -> Schema:
    """What a refused request is answered."""
    headers = {"Retry-After": header("Whole seconds.")} if status in WAITING else {}
    if status == 401:
        headers = {"WWW-Authenticate": header("Bearer, and what is wrong with the token.")}
    return answer(HTTPStatus(status).phrase, schema, headers)


def answer(
    description: str,
    schema: Schema | None = None,
    headers: Mapping[str, Schema] | None = None,
    *,
    content_type: str = JSON,
) -> Schema:
    """A Response Object; without a schema it has no body."""
    members: Schema = {"description": description}
    if headers:
        members["headers"] = dict(headers)
    if schema is not None:
        members["content"] = {content_type: {"schema": schema}}
    return members


def body(
    schema: Schema,
    *,
    required: bool = True,
    content_type: str = JSON,
    examples: Mapping[str, object] | None = None,
) -> Schema:
    """A Request Body Object; `examples` by name."""
    media: Schema = {"schema": schema}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": required, "content": {content_type: media}}


def header(description: str, schema: Schema = STRING, *, required: bool = True) -> Schema:
    """A Header Object."""
    return {"description": description, "required": required, "schema": schema}


def query(name: str, description: str, schema: Schema | None = None, **more: Any) -> Schema:
    """A parameter in the query."""
    given = text() if schema is None else schema
    return {"name": name, "in": "query", "description": description, "schema": given, **more}
