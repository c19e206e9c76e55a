"""The AsyncAPI document: notification sockets, messaging, webhooks, put together (OP-19)."""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from tocsin import __version__
from tocsin.server.description import (
    clientmessages,
    messaging,
    notifications,
    servermessages,
    sockets,
    sockjs,
)
from tocsin.server.description.channels import suffix
from tocsin.server.description.document import path_parameters, used
from tocsin.server.description.schema import Schema, matching, ref, request, said, text
from tocsin.server.description.served import Served
from tocsin.server.messaging.guard import CORRELATOR
from tocsin.wire.dialect import Dialect
from tocsin.wire.position import WRITTEN
from tocsin.wire.sockjs.urls import Kind, is_on

VERSION: Final = "3.0.0"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
ABOUT: Final = """\
What the daemon sends and receives on sockets, and what it POSTs. REST is described in
`/openapi.json`; a channel's WebSocket is opened at the channelURL of a channel made there."""
CLIENT: Final = "client."
SERVER: Final = "server."
SEND, RECEIVE = "send", "receive"


@attrs.define
class _Document:
    """The parts, as they are added. From here on `send` is what the daemon sends."""

    channels: dict[str, Schema] = attrs.field(factory=dict)
    operations: dict[str, Schema] = attrs.field(factory=dict)
    messages: dict[str, Schema] = attrs.field(factory=dict)

    def message(
        self, name: str, about: str, schema: Schema, *, kind: str = JSON, headers: Schema | None
    ) -> None:
        """What may be said."""
        members = {"name": name, "title": about, "contentType": kind, "payload": schema}
        if headers is not None:
            members["headers"] = headers
        self.messages[name] = members

    def say(
        self, messages: Mapping[str, tuple[str, Schema]], prefix: str = "", *, kind: str = JSON
    ) -> list[str]:
        """Several; their names."""
        for name, (about, schema) in messages.items():
            self.message(prefix + name, about, schema, kind=kind, headers=None)
        return [prefix + name for name in messages]

    def channel(self, name: str, messages: Iterable[str], **more: object) -> None:
        """Where things are said."""
        refs = {one: {"$ref": f"#/components/messages/{one}"} for one in messages}
        self.channels[name] = {**more, "messages": refs}

    def operation(
        self,
        name: str,
        action: str,
        channel: str,
        messages: Iterable[str],
        *,
        summary: str,
        replies: Iterable[str] = (),
    ) -> None:
        """Who says what, and what answers it."""
        where = {"$ref": f"#/channels/{channel}"}
        members: Schema = {
            "action": action,
            "channel": where,
            "summary": summary,
            "messages": _of(channel, messages),
        }
        if answers := _of(channel, replies):
            members["reply"] = {"channel": where, "messages": answers}
        self.operations[name] = members


def asyncapi(served: Served) -> Schema:
    """What is described at `/asyncapi.json`."""
    document = _Document()
    for dialect in served.dialects:
        _add_notifications(document, dialect)
    if served.messaging is not None:
        _add_messaging(document, served)
    _add_webhooks(document, served)
    schemas = {
        **notifications.schemas(served),
        **messaging.schemas(served),
    }
    parts = {"channels": document.channels, "messages": document.messages}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "tocsin",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": _servers(served),
        "channels": document.channels,
        "operations": document.operations,
        "components": {
            "messages": document.messages,
            "schemas": used(parts, schemas),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "queryToken": {"type": "httpApiKey", "in": "query", "name": "access_token"},
            },
        },
    }


def _servers(served: Served) -> Schema:
    scheme = "wss" if served.secure else "ws"
    host = (served.base_url or "").rpartition("://")[2]
    tokens = [{"$ref": f"#/components/securitySchemes/{one}"} for one in ("bearer", "queryToken")]
    daemon: Schema = {"host": host or "{host}", "protocol": scheme, "security": tokens}
    if not host:
        daemon["variables"] = {"host": {"default": "localhost:8080"}}
    receiver = {
        "host": "{receiver}",
        "protocol": "https",
        "description": "A webhook's own.",
        "variables": {"receiver": {"default": "example.com"}},
    }
    return {"daemon": daemon, "receiver": receiver}


def _add_notifications(document: _Document, dialect: Dialect) -> None:
    end = suffix(dialect)
    name, messages = f"notifications{end}", document.say(sockets.NOTIFICATION)
    address = f"{dialect.channels_pattern}/{{channelId}}/websocket"
    since = said(matching(WRITTEN.pattern), "The position the client has; `0:0` asks for it.")
    document.channel(
        name,
        messages,
        address=address,
        description="One JSON object a frame, with one root key. A Pong, a connAck or an answered "
        "close is the receipt of what came before it. A newer socket of the channel wins.",
        **_on_daemon(address, {"access_token?": text(), "since?": since}),
    )
    document.operation(
        f"tellSocket{end}", SEND, name, sockets.TO_SOCKET, summary="What is told to a client"
    )
    document.operation(
        f"hearSocket{end}", RECEIVE, name, sockets.FROM_SOCKET, summary="What a client may say"
    )


def _add_messaging(document: _Document, served: Served) -> None:
    settings = served.messaging
    if settings is None or not is_on(Kind.WEBSOCKET, frozenset(settings.sockjs.transports)):
        return
    short = text(1, settings.limits.short_characters)
    asked = clientmessages.described(settings.limits)
    told = {
        one: (about, servermessages.message(one)) for one, about in servermessages.ABOUT.items()
    }
    if not settings.welcome:
        del told["welcome"]
    said_to = document.say(told, SERVER)
    said_by = document.say(
        {type_: (one.about, one.schema(type_, short)) for type_, one in asked.items()}, CLIENT
    )
    address = sockjs.path_of(settings.prefix, Kind.RAW_WEBSOCKET)
    query = {"access_token?": text(), f"{CORRELATOR}?": text()}
    document.channel(
        "messaging",
        [*said_to, *said_by],
        address=address,
        description="One message a frame. What answers a message comes before its `ack`, in the "
        "order of the messages.",
        **_on_daemon(address, query),
    )
    document.operation("tell", SEND, "messaging", said_to, summary="What a subscriber is told")
    for type_, one in asked.items():
        replies = [SERVER + answer for answer in (*one.answered, "ack")]
        document.operation(
            f"{RECEIVE}.{type_}",
            RECEIVE,
            "messaging",
            [CLIENT + type_],
            summary=one.about,
            replies=replies,
        )
    _add_framed(document, settings.prefix, query)


def _add_framed(document: _Document, prefix: str, query: dict[str, Schema]) -> None:
    address = sockjs.path_of(prefix, Kind.WEBSOCKET)
    [frame, texts] = document.say(sockets.FRAMES, "sockjs.", kind=TEXT)
    document.channel(
        "messagingFramed",
        [frame, texts],
        address=address,
        description="The same messages in SockJS frames, also over the HTTP transports of "
        "`/openapi.json`.",
        **_on_daemon(address, query),
    )
    document.operation("tellFramed", SEND, "messagingFramed", [frame], summary="Frames")
    document.operation("hearFramed", RECEIVE, "messagingFramed", [texts], summary="Messages")


def _add_webhooks(document: _Document, served: Served) -> None:
    kinds = {"webhook": ("A notification, POSTed", ref("Notification"), "A channel's x-webhookURL")}
    if served.tells_operator:
        kinds["operatorEvent"] = (
            "What an operator is told, POSTed",
            sockets.EVENT,
            "operator.webhook_url and push.feedback_url of the configuration",
        )
    for name, (about, schema, where) in kinds.items():
        document.message(name, about, schema, headers=sockets.HOOK_HEADERS)
        document.channel(
            f"{name}s",
            [name],
            address=None,
            description=f"{where}. A 2xx answer is the receipt; the rest is tried again.",
            servers=[{"$ref": "#/servers/receiver"}],
            bindings={"http": {}},
        )
        document.operations[f"{SEND}.{name}"] = {
            "action": SEND,
            "channel": {"$ref": f"#/channels/{name}s"},
            "summary": about,
            "messages": _of(f"{name}s", [name]),
            "bindings": {"http": {"method": "POST"}},
        }


def _on_daemon(address: str, query: Mapping[str, Schema]) -> Schema:
    """What the channels of the daemon's own sockets have in common."""
    parameters = {
        one["name"]: {"description": one["schema"]["description"]}
        for one in path_parameters(address)
    }
    socket = {"method": "GET", "query": request(query)}
    return {
        "servers": [{"$ref": "#/servers/daemon"}],
        "bindings": {"ws": socket},
        **({"parameters": parameters} if parameters else {}),
    }


def _of(channel: str, messages: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages]
