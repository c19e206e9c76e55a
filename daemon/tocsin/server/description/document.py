"""The OpenAPI documents of both listeners, put together."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin import __version__
from tocsin.server.description import (
    channels,
    errors,
    gateway,
    health,
    messaging,
    notifications,
    operatorapi,
    reporters,
    sockjs,
    subscriptions,
    tokens,
)
from tocsin.server.description.operation import BEARER, QUERY_TOKEN, Operation
from tocsin.server.description.schema import STRING, Schema, said, text
from tocsin.server.description.served import Served

OPENAPI: Final = "/openapi.json"
ASYNCAPI: Final = "/asyncapi.json"
VERSION: Final = "3.1.0"
PLACEHOLDER: Final = re.compile(r"{([A-Za-z]+)}")
REFERENCE: Final = "#/components/schemas/"
PUBLIC: Final = """\
Channels say where a client wants to be reached, subscriptions what it wants to hear about,
notifications are what it hears. Sockets and webhooks are described in `/asyncapi.json`.

Every path takes one trailing slash, `OPTIONS` (a preflight, answered 204) where pages may call it,
and refuses other methods with 405 and `Allow`. Bodies of requests are strict JSON in UTF-8; unknown
members are ignored unless the schema forbids them. Every answer carries `Cache-Control: no-store`
unless it says otherwise. Where the daemon drains or its store does not work, the answer is 503."""
ADMIN: Final = """\
For operators: tokens need the scope `admin`. Health and metrics need none, so this listener belongs
on loopback. Times are epoch milliseconds."""
TAGS: Final = {
    "Channels": "Where a client wants to be reached.",
    "Subscriptions": "What it wants to hear about.",
    "Notifications": "Handing them in, and polling for them.",
    "Push gateway": "Pushes for callers that name the device.",
    "Reporters": "Device tokens, as phone apps report them.",
    "Messaging": "What subscribers and operators read, and revoking.",
    "SockJS": "Messaging connections for what cannot speak WebSocket.",
    "Tokens": "For deployments without an identity provider.",
    "Operation": "Channels, lanes, the delivery log, dead letters, apps, tokens.",
    "Health": "For monitors.",
    "Descriptions": "These documents.",
}
USER: Final = said(
    text(1, 256), "The user; `+` and `@` stand for themselves, escaped or not.", examples=["alice"]
)
PATH_PARAMETERS: Final[Mapping[str, Schema]] = {
    "user": USER,
    "channelId": said(text(), "A channel's id, which is its callbackURL."),
    "subscriptionId": said(text(), "A subscription's id, the end of its resourceURL."),
    "sender": said(text(), "The address receipts are wanted for; echoed."),
    "listId": said(text(), "The presence list; echoed."),
    "acct": said(text(), "The account of a project."),
    "proj": said(text(), "The project; tokens of it name it."),
    "roomId": said(text(), "The `channel-id` of a conversation of many."),
    "subscriberId": said(text(), "A subscriber."),
    "messageId": said(text(), "A `message-id`."),
    "lane": said(text(), "A lane's name, escaped: it has slashes in it."),
    "app": said(text(), "An app's id."),
    "id": said(text(), "An id as lists show it."),
    "server": said(text(1, 128, pattern="^[^/.]+$"), "Anything; for load balancers."),
    "session": said(text(1, 128, pattern="^[^/.]+$"), "A session's id, chosen by the client."),
    "version": said({**STRING, "pattern": "^[-0-9.a-z_]*$"}, "Anything."),
}


def public(served: Served) -> Schema:
    """What is described at `/openapi.json` of the public listener."""
    operations = [
        *channels.operations(served),
        *subscriptions.operations(served),
        *notifications.operations(served),
        *gateway.operations(),
        *reporters.operations(served),
        *tokens.operations(served),
        *messaging.operations(served),
        *sockjs.operations(served),
        *_own(OPENAPI, ASYNCAPI),
    ]
    schemas = {
        **errors.SCHEMAS,
        **channels.schemas(served),
        **subscriptions.SCHEMAS,
        **notifications.schemas(served),
        **gateway.schemas(served),
        **tokens.SCHEMAS,
        **messaging.schemas(served),
        **operatorapi.SCHEMAS,
    }
    servers = [{"url": served.base_url or "/"}]
    return _document("tocsin", PUBLIC, operations, schemas, servers)


def admin(served: Served) -> Schema:
    """What is described at `/openapi.json` of the admin listener."""
    operations = [*operatorapi.operations(), *health.operations(served), *_own(OPENAPI)]
    schemas = {**errors.SCHEMAS, **operatorapi.SCHEMAS, **health.SCHEMAS}
    return _document("tocsin, admin listener", ADMIN, operations, schemas, [{"url": "/"}])


def path_parameters(path: str) -> list[Schema]:
    """Those that the placeholders of a path stand for."""
    return [
        {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
        for name in PLACEHOLDER.findall(path)
    ]


def _own(*paths: str) -> Iterator[Operation]:
    for path in paths:
        yield health.description(path)


def _document(
    title: str,
    description: str,
    operations: Sequence[Operation],
    schemas: Mapping[str, Schema],
    servers: Sequence[Schema],
) -> Schema:
    paths: dict[str, Schema] = {}
    for one in operations:
        item = paths.setdefault(one.path, {})
        item[one.method.lower()] = one.as_dict(path_parameters(one.path))
    tags = {one.tag for one in operations}
    return {
        "openapi": VERSION,
        "info": {
            "title": title,
            "version": __version__,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": list(servers),
        "tags": [{"name": name, "description": TAGS[name]} for name in TAGS if name in tags],
        "paths": paths,
        "components": {
            "schemas": used(paths, schemas),
            "securitySchemes": _security_schemes(operations),
        },
    }


def used(whole: object, schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Those schemas that something refers to, itself or by another one, in their order."""
    found: set[str] = set()
    waiting = [*_references(whole)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return {name: schema for name, schema in schemas.items() if name in found}


def _references(whole: object) -> Iterator[str]:
    inside: Iterable[object] = ()
    if isinstance(whole, Mapping):
        target = whole.get("$ref")
        if isinstance(target, str) and target.startswith(REFERENCE):
            yield target.removeprefix(REFERENCE)
        inside = whole.values()
    elif isinstance(whole, list | tuple):
        inside = whole
    for one in inside:
        yield from _references(one)


def _security_schemes(operations: Iterable[Operation]) -> Schema:
    named = {name for one in operations for way in one.as_dict([])["security"] for name in way}
    known: dict[str, Any] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "description": "A JWT, or an opaque token where introspection is configured.",
        },
        QUERY_TOKEN: {
            "type": "apiKey",
            "in": "query",
            "name": "access_token",
            "description": "The same token, for those who cannot set headers.",
        },
        **tokens.BASIC,
    }
    return {name: scheme for name, scheme in known.items() if name in named}
