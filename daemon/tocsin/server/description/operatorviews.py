"""What the operator API shows (`server/operatorview`, which writes it)."""

from typing import Final

from tocsin.delivery.revocations import By
from tocsin.model.channel import ChannelType
from tocsin.ops.metrics import BLOCKED, RESULTS
from tocsin.server.description.schema import (
    COUNT,
    EPOCH_MS,
    FLAG,
    INTEGER,
    STRING,
    Schema,
    listed,
    matching,
    nullable,
    one_of,
    record,
    ref,
    said,
    text,
)
from tocsin.wire.devicetoken import PROVIDERS
from tocsin.wire.notification import PRIORITIES

PLACE: Final = matching("[0-9]+(-[0-9]+){1,2}", description="A place among dead letters.")
LETTER_ID: Final = said(COUNT, "Of the dead letter.")
TYPE: Final = one_of(list(ChannelType))
USER: Final = said(text(), "Absent for pushes of the gateway and our own events.")
DELIVERY_ID: Final = said(COUNT, "Of the delivery.")
CHANNEL: Final[dict[str, Schema]] = {
    "id": text(),
    "user?": USER,
    "type": TYPE,
    "state": one_of(["active", "suspended", "throttled"]),
    "connected?": said(FLAG, "WebSockets and long polling only."),
    "created_at": EPOCH_MS,
    "expires_at?": EPOCH_MS,
    "lifetime?": said(INTEGER, "Seconds."),
    "client_correlator": STRING,
    "application_tag?": STRING,
    "creator?": STRING,
    "failing_since?": EPOCH_MS,
    "last_seq?": COUNT,
    "lane?": text(),
    "url?": said(text(), "A webhook's."),
    "authorized?": said(FLAG, "It has an x-authorization."),
    "signed?": said(FLAG, "It has a secret of its own."),
    "provider?": one_of(PROVIDERS),
    "app?": text(),
}
LETTER: Final[dict[str, Schema]] = {
    "id": LETTER_ID,
    "user?": USER,
    "service": text(),
    "channel": text(),
    "type": TYPE,
    "died_at": EPOCH_MS,
    "attempts": COUNT,
    "reason": STRING,
    "status?": INTEGER,
}
SCHEMAS: Final[dict[str, Schema]] = {
    "OperatorChannel": record(CHANNEL),
    "OperatorChannelWithSubscriptions": record(
        {**CHANNEL, "subscriptions": listed(ref("OperatorSubscription"))}
    ),
    "OperatorSubscription": record(
        {"id": text(), "user": text(), "service": text(), "expires_at?": EPOCH_MS}
    ),
    "Lane": record(
        {
            "name": text(),
            "type": TYPE,
            "blocked": nullable(one_of(BLOCKED)),
            "width": COUNT,
            "under_way": COUNT,
            "held": COUNT,
            "backlog": said(COUNT, "Deliveries that could be claimed."),
            "due_at": nullable(EPOCH_MS),
        }
    ),
    "Attempt": record(
        {
            "delivery": DELIVERY_ID,
            "notification": text(),
            "user?": USER,
            "channel": text(),
            "type": TYPE,
            "at": EPOCH_MS,
            "number": COUNT,
            "result": said(text(), f"{', '.join(RESULTS)}, or how it ended without an attempt."),
            "latency_ms?": COUNT,
            "status?": INTEGER,
            "reason?": STRING,
            "excerpt?": said(STRING, "Of the receiver's answer."),
        }
    ),
    "DeadLetter": record({**LETTER, "notification": said(text(), "Its id.")}),
    "WholeDeadLetter": record({**LETTER, "notification": ref("StoredNotification")}),
    "StoredNotification": record(
        {
            "id": text(),
            "user?": USER,
            "service": text(),
            "priority": one_of(PRIORITIES),
            "accepted_at": EPOCH_MS,
            "expires_at": EPOCH_MS,
            "order_key": STRING,
            "collapse_key?": STRING,
            "producer": STRING,
            "body": {"type": "object", "additionalProperties": True},
        }
    ),
    "NotificationPath": record(
        {
            "id": text(),
            "notification?": ref("StoredNotification"),
            "pending": listed(
                record(
                    {
                        "delivery": DELIVERY_ID,
                        "channel": text(),
                        "type": TYPE,
                        "lane?": text(),
                        "due_at?": EPOCH_MS,
                        "attempts": COUNT,
                        "held": FLAG,
                        "seq?": COUNT,
                    }
                )
            ),
            "attempts": listed(ref("Attempt")),
            "dead_letters": listed(ref("DeadLetter")),
            "complete": said(FLAG, "The log still holds all of it."),
        }
    ),
    "App": record(
        {
            "id": text(),
            "provider": one_of(PROVIDERS),
            "key": STRING,
            "kind?": one_of(["alert", "voip"]),
            "lane": text(),
            "guarded": said(FLAG, "Its tokens are not removed for now."),
        }
    ),
    "Revocation": record(
        {
            "by": one_of(list(By)),
            "name": STRING,
            "at": EPOCH_MS,
            "expires_at": EPOCH_MS,
        }
    ),
}
