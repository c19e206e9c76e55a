"""Subscriptions of every service, in every dialect (channels.md, section 10)."""

from collections.abc import Iterator
from typing import Any, Final

from tocsin.server.description.channels import suffix
from tocsin.server.description.operation import Operation, answer, body, guarded, header, query
from tocsin.server.description.schema import (
    ANYTHING,
    NUMBER,
    STRING,
    Schema,
    listed,
    nullable,
    one_of,
    record,
    ref,
    request,
    said,
    text,
)
from tocsin.server.description.served import Served
from tocsin.wire.dialect import Dialect
from tocsin.wire.subscriptions import (
    ACCOUNT,
    ADDRESS_LIMIT,
    CALL,
    CHAT,
    POLICIES,
    PRESENCE,
    PRESENCE_LISTS,
    PROJECT,
    SMS_INBOUND,
    SMS_RECEIPTS,
    Kind,
)

TAG: Final = "Subscriptions"
NAMES: Final = {
    SMS_INBOUND: "InboundSms",
    SMS_RECEIPTS: "SmsReceipt",
    CHAT: "Chat",
    CALL: "Call",
    PRESENCE: "Presence",
    PRESENCE_LISTS: "AllPresence",
    ACCOUNT: "Account",
    PROJECT: "Project",
}
NOTIFY_URL: Final = said(text(), "A channel's id, or a URL or path with `/channels/{id}` in it.")
ASIDE: Final[dict[str, Schema]] = {
    "callbackData?": said(ANYTHING, "Echoed."),
    "filterCriteria?": said(ANYTHING, "Echoed."),
    "notificationFormat?": one_of(["JSON"]),
}
REFERENCE: Final[dict[str, Schema]] = {"notifyURL": NOTIFY_URL, **ASIDE}
MEMBERS: Final[dict[str, Schema]] = {
    "clientCorrelator?": said(text(1, 256), "That of the channel, if it is left out."),
    "destinationAddress?": said(
        text(1, ADDRESS_LIMIT + len("tel:")), "sms: only what is sent to this address."
    ),
    "duration?": said(NUMBER, "Seconds; a webhook's ends by itself then."),
    "x-deliveryPolicy?": one_of(POLICIES),
}


def _resource(**more: Schema) -> Schema:
    """As it was asked for, unknown members included, and what we add."""
    asked = {name: nullable(schema) for name, schema in MEMBERS.items()}
    reference = request(REFERENCE)
    return record(
        {"callbackReference": reference, **asked, **more, "resourceURL": text()},
        additionalProperties=True,
    )


SCHEMAS: Final[dict[str, Schema]] = {
    "Subscription": _resource(),
    "PresenceSubscription": _resource(presenceListId=STRING),
    "SubscriptionRequest": request({"callbackReference": request(REFERENCE), **MEMBERS}),
    "CallSubscriptionRequest": request(
        {
            "callbackReference?": said(
                request({**ASIDE, "notifyURL?": NOTIFY_URL}),
                "Without a notifyURL it is the newest WebSocket of the clientCorrelator.",
            ),
            **MEMBERS,
        }
    ),
}


def operations(served: Served) -> Iterator[Operation]:
    """Those of every kind and dialect."""
    for dialect in served.dialects:
        for kind in served.kinds:
            yield from _operations(kind, dialect)


def _operations(kind: Kind, dialect: Dialect) -> Iterator[Operation]:
    name = f"{NAMES.get(kind) or kind.service}Subscription{suffix(dialect)}"
    collection = f"{dialect.prefix}{kind.path}"
    one = f"{collection}/{{subscriptionId}}"
    common: dict[str, Any] = {"tag": TAG, "scope": "channels"}
    resource = ref("PresenceSubscription" if kind.service == "presence" else "Subscription")
    wrapped = record({kind.envelope: resource})
    correlator = query("clientCorrelator", "Only those of this device.", STRING)
    yield Operation(
        method="GET",
        path=collection,
        name=f"list{name}s",
        summary=f"List subscriptions to {kind.service}",
        parameters=[correlator] if kind.by_correlator else [],
        answers={200: answer("The list is always there.", _list(kind, resource))},
        refusals=guarded(),
        **common,
    )
    if kind.spans:
        return
    asked = ref("CallSubscriptionRequest" if kind.by_correlator else "SubscriptionRequest")
    yield Operation(
        method="POST",
        path=collection,
        name=f"create{name}",
        summary=f"Subscribe a channel to {kind.service}",
        description="The same again answers the existing one.",
        body=body(request({kind.envelope: asked}), examples=_examples(kind)),
        answers={
            201: answer("It is stored.", wrapped, {"Location": header("Its resourceURL.")}),
        },
        refusals=guarded(415),
        **common,
    )
    yield Operation(
        method="GET",
        path=one,
        name=f"get{name}",
        summary="Read a subscription",
        answers={200: answer("The subscription.", wrapped)},
        refusals=guarded(404),
        **common,
    )
    yield Operation(
        method="DELETE",
        path=one,
        name=f"delete{name}",
        summary="End a subscription",
        answers={204: answer("It is gone.")},
        refusals=guarded(404),
        **common,
    )


def _list(kind: Kind, resource: Schema) -> Schema:
    members = {kind.envelope: listed(resource), "resourceURL": text()}
    return record({kind.list_envelope: record(members)})


def _examples(kind: Kind) -> dict[str, object]:
    reference = {"notifyURL": "ws-b16a4d71-8fd7-41b0-8ccf-bd4ad073d58f"}
    return {kind.service: {kind.envelope: {"callbackReference": reference}}}
