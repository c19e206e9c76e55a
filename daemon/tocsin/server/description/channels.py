"""Channel resources, in every dialect (channels.md, sections 1 to 5)."""

from collections.abc import Iterator
from typing import Final

from tocsin.model.channel import ChannelType
from tocsin.server.description.operation import Operation, answer, body, guarded, header, query
from tocsin.server.description.schema import (
    NUMBER,
    STRING,
    Schema,
    any_case,
    either,
    listed,
    matching,
    one_of,
    record,
    ref,
    request,
    said,
    text,
)
from tocsin.server.description.served import Served
from tocsin.wire.channeldata import (
    AUTHORIZATION,
    DEFAULT_NOTIFICATIONS,
    DEVICE_TOKEN,
    EXTRAS,
    MOST_NOTIFICATIONS,
    REGISTRATION_TOKEN,
    TOKEN_LIMIT,
)
from tocsin.wire.channelview import HIDDEN
from tocsin.wire.devicetoken import PROVIDERS
from tocsin.wire.dialect import Dialect
from tocsin.wire.netapi import NATIVE, ROLES, TEXT_LIMIT

TAG: Final = "Channels"
CHANNEL_ID: Final = matching("(ws|ps|wh|lp)-[0-9a-f-]{36}")
SECONDS: Final = {"type": "integer", "minimum": 1}
TEXT: Final = text(1, TEXT_LIMIT)
LIFETIME: Final = "notificationChannelLifetime"


def suffix(dialect: Dialect) -> str:
    """What is added to the names of the strict dialect's operations and schemas."""
    return "" if dialect.name == "netapi" else "Strict"


def schemas(served: Served) -> dict[str, Schema]:
    """Those of all dialects that are served."""
    found: dict[str, Schema] = {}
    for dialect in served.dialects:
        end = suffix(dialect)
        found |= {f"{name}{end}": schema for name, schema in _variants(dialect).items()}
        names = [f"{name}{end}" for name in _variants(dialect)]
        found[f"Channel{end}"] = either(*map(ref, names), description="A channel, by its type.")
        found[f"ChannelRequest{end}"] = _request(dialect)
    return {
        **found,
        "ChannelLifetime": record({LIFETIME: record({"channelLifetime": SECONDS})}),
        "ChannelLifetimeRequest": request(
            {LIFETIME: request({"channelLifetime": _positive("Seconds; clamped.")})}
        ),
    }


def operations(served: Served) -> Iterator[Operation]:
    """Those of all dialects that are served."""
    for dialect in served.dialects:
        yield from _operations(dialect)


def _operations(dialect: Dialect) -> Iterator[Operation]:
    end, collection = suffix(dialect), dialect.channels_pattern
    one, lifetime = f"{collection}/{{channelId}}", f"{collection}/{{channelId}}/channelLifetime"
    channel = record({"notificationChannel": ref(f"Channel{end}")})
    seconds = answer("The seconds granted, or left.", ref("ChannelLifetime"))
    yield Operation(
        method="POST",
        path=collection,
        name=f"createChannel{end}",
        tag=TAG,
        summary="Create a channel",
        description="The same webhook or device again is the same channel, and answers its id. "
        "`channelData` has what the type needs.",
        scope="channels",
        body=body(request({"notificationChannel": ref(f"ChannelRequest{end}")}), examples=EXAMPLES),
        answers={
            dialect.created: answer(
                "It is stored.", channel, {"Location": header("Its resourceURL.")}
            )
        },
        refusals=guarded(409, 415),
    )
    yield Operation(
        method="GET",
        path=collection,
        name=f"listChannels{end}",
        tag=TAG,
        summary="List the user's channels",
        scope="channels",
        parameters=[
            query("clientCorrelator", "Only those of this device.", STRING),
            query("channelType", "Only those of this type, without regard to case.", STRING),
        ],
        answers={200: answer("The list is always there.", _list(end))},
        refusals=guarded(),
    )
    yield Operation(
        method="GET",
        path=one,
        name=f"getChannel{end}",
        tag=TAG,
        summary="Read a channel",
        scope="channels",
        answers={200: answer("The channel.", channel)},
        refusals=guarded(404),
    )
    for path, name in ((one, "renewChannel"), (lifetime, "setChannelLifetime")):
        yield Operation(
            method="PUT",
            path=path,
            name=f"{name}{end}",
            tag=TAG,
            summary="Have a channel's lifetime start again",
            scope="channels",
            body=body(ref("ChannelLifetimeRequest")),
            answers={200: seconds},
            refusals=guarded(404, 415),
        )
    yield Operation(
        method="GET",
        path=lifetime,
        name=f"getChannelLifetime{end}",
        tag=TAG,
        summary="How many seconds a channel has left",
        scope="channels",
        answers={200: seconds},
        refusals=guarded(404),
    )
    yield Operation(
        method="DELETE",
        path=one,
        name=f"deleteChannel{end}",
        tag=TAG,
        summary="Delete a channel, its subscriptions and what waits for it",
        scope="channels",
        answers={204: answer("It is gone.")},
        refusals=guarded(404),
    )
    yield Operation(
        method="GET",
        path=f"{one}/websocket",
        name=f"openSocket{end}",
        tag=TAG,
        summary="Open the channel's WebSocket",
        description="What is said on it stands in `/asyncapi.json`. An expired token may be taken "
        "for a while where the operator allows it.",
        scope="channels",
        security=[{"bearer": ["channels"]}, {"queryToken": ["channels"]}],
        parameters=[query("since", "The position the client has, `<epoch>:<seq>`; `0:0` asks.")],
        answers={101: answer("The protocol is WebSocket now.")},
        refusals=(400, 401, 403, 404, 413, 426, 429, 431, 503),
    )


def _list(end: str) -> Schema:
    members = {"notificationChannel": listed(ref(f"Channel{end}")), "resourceURL": text()}
    return record({"notificationChannelList": record(members)})


def _variants(dialect: Dialect) -> dict[str, Schema]:
    """A channel by its type, as it is answered."""
    push = {
        "appId": text(),
        DEVICE_TOKEN: text(),
        "x-provider": one_of(PROVIDERS),
    }
    hook = {
        "x-webhookURL": text(),
        "x-authorization?": said(text(), f"`{HIDDEN}`, unless secrets are echoed."),
        "x-webhookSecret?": one_of([HIDDEN]),
    }
    poll = {"channelURL": text(), "maxNotifications": {**SECONDS, "maximum": MOST_NOTIFICATIONS}}
    lifetime: dict[str, Schema] = {"channelLifetime": SECONDS}
    role = {**lifetime, "x-connCheckRole?": one_of(ROLES)}
    variants = {
        "SocketChannel": _variant(dialect, ChannelType.WEBSOCKETS, {"channelURL": text()}, role),
        "PollChannel": _variant(dialect, ChannelType.LONG_POLLING, poll, lifetime),
        "PushChannel": _variant(dialect, ChannelType.OMAPUSH, push),
        "WebhookChannel": _variant(dialect, ChannelType.WEBHOOKS, hook),
    }
    if dialect.native_app_id is not None:
        data = {REGISTRATION_TOKEN: text()}
        variants["NativeChannel"] = _variant(dialect, NATIVE, data, lifetime)
    return variants


def _variant(
    dialect: Dialect, kind: str, data: dict[str, Schema], more: dict[str, Schema] | None = None
) -> Schema:
    if dialect.echoes_extras:
        extras = {f"{name}?": TEXT for name in (*EXTRAS, REGISTRATION_TOKEN) if name not in data}
        data = {**data, **extras}
    return record(
        {
            "callbackURL": CHANNEL_ID if dialect.callback_is_id else text(),
            "channelData": record(data),
            "channelType": any_case([kind]) if dialect.keeps_spelling else one_of([kind]),
            "clientCorrelator?": said(TEXT, "Unless its client gave none, in another dialect."),
            "applicationTag?": TEXT,
            **(more or {}),
            "resourceURL": text(),
        }
    )


def _request(dialect: Dialect) -> Schema:
    native = [] if dialect.native_app_id is None else [NATIVE]
    correlator = "clientCorrelator" if dialect.needs_correlator else "clientCorrelator?"
    extras = {f"{name}?": TEXT for name in EXTRAS} if dialect.echoes_extras else {}
    if native:
        extras[f"{REGISTRATION_TOKEN}?"] = text(1, TOKEN_LIMIT)
    data = {
        "x-webhookURL?": said(text(1, 2048), "Webhooks: where to POST."),
        "x-authorization?": said(
            matching(AUTHORIZATION.pattern), "Webhooks: sent as it is, as `Authorization`."
        ),
        "x-webhookSecret?": said(
            matching("whsec_[A-Za-z0-9+/]+={0,2}"), "Webhooks: signs, 24 to 64 bytes."
        ),
        "appId?": said(TEXT, "OMAPush: a registered app."),
        DEVICE_TOKEN + "?": said(text(1, TOKEN_LIMIT), "OMAPush: the device."),
        "x-provider?": said(one_of(PROVIDERS), "OMAPush: whose device it is."),
        "maxNotifications?": said(
            NUMBER, f"LongPolling: of one answer; clamped, else {DEFAULT_NOTIFICATIONS}."
        ),
        **extras,
    }
    return request(
        {
            "channelType": any_case([*ChannelType, *native], description="In any case."),
            correlator: said(TEXT, "Of one device and application, for all of its channels."),
            "applicationTag?": TEXT,
            "channelLifetime?": said(_positive(""), "Seconds; clamped."),
            "x-connCheckRole?": said(one_of(ROLES), "Who checks a WebSocket."),
            "channelData?": request(data),
        }
    )


def _positive(description: str) -> Schema:
    schema: Schema = {
        "anyOf": [SECONDS, {"type": "string", "pattern": "^0*[1-9][0-9]*$"}],
    }
    return said(schema, description) if description else schema


_OF_TYPE: Final[dict[str, dict[str, object]]] = {
    "websockets": {"channelLifetime": 3600, "x-connCheckRole": "client"},
    "LongPolling": {"channelData": {"maxNotifications": "15"}},
    "Webhooks": {"channelData": {"x-webhookURL": "https://example.com/hook"}},
}
EXAMPLES: Final[dict[str, object]] = {
    kind: {"notificationChannel": {"channelType": kind, "clientCorrelator": "tab-1", **more}}
    for kind, more in _OF_TYPE.items()
}
