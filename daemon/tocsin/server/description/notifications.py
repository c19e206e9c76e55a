"""Handing notifications in, and polling for them (channels.md, sections 7, 11 and 12)."""

from collections.abc import Iterator
from typing import Any, Final

from tocsin.server.description.channels import suffix
from tocsin.server.description.operation import (
    JSON,
    Operation,
    answer,
    guarded,
    header,
    query,
)
from tocsin.server.description.schema import (
    COUNT,
    DIGITS,
    OBJECT,
    STRING,
    Schema,
    either,
    judged_one_by_one,
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
from tocsin.server.idempotency import KEY, NAME, NOTIFICATION_ID, REPLAYED
from tocsin.server.publish import PATH
from tocsin.wire.cloudevents import BATCHED, SOURCE, STRUCTURED, VERSION
from tocsin.wire.dialect import Dialect
from tocsin.wire.longpoll import POSITION
from tocsin.wire.notification import ID, MOST_SECONDS, PRIORITIES, RESERVED, ROOT_KEY

TAG: Final = "Notifications"
TEXT: Final = text(1, 256)
SECONDS: Final[Schema] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_SECONDS}, DIGITS],
    "description": "Seconds from acceptance.",
}
GIVEN_ID: Final = matching("[!#-\\[\\]-~]{1,128}", description=f"As {ID.pattern} says.")
IDEMPOTENCY: Final = {
    "name": NAME,
    "in": "header",
    "description": "The same key with the same body gets the first answer, for a day.",
    "schema": matching(KEY.pattern),
}
REPLAY: Final = {
    REPLAYED[0]: header("It was answered so before.", one_of([REPLAYED[1]]), required=False)
}


def schemas(served: Served) -> dict[str, Schema]:
    """What is handed in, and what is said of it."""
    return {
        "Notification": {
            "type": "object",
            "description": "One member, whose name says what it is. `id` and `dateTime` (epoch "
            "milliseconds) are added inside where they are absent; nothing else is changed. At "
            f"most {served.notification_bytes} bytes.",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {
                "pattern": f"^{ROOT_KEY.pattern}$",
                "not": {"enum": sorted(RESERVED)},
            },
            "additionalProperties": OBJECT,
        },
        "NotificationItem": request(
            {
                "user": matching(
                    "[^\\x00-\\x1f\\x7f-\\x9f]{1,256}", description="Whose notification it is."
                ),
                "service": one_of(served.services),
                "notification": ref("Notification"),
                "id?": GIVEN_ID,
                "priority?": one_of(PRIORITIES),
                "expires_in?": SECONDS,
                "collapse_key?": TEXT,
                "order_key?": TEXT,
                "destination_address?": TEXT,
            },
            closed=True,
        ),
        "CloudEvent": request(
            {
                "specversion": one_of([VERSION]),
                "type": said(text(3), "`service.rootKey`, the root key being that of `data`."),
                "source": matching(SOURCE.pattern),
                "subject": said(TEXT, "The user."),
                "id": GIVEN_ID,
                "data": ref("Notification"),
                "datacontenttype?": STRING,
                "time?": said(STRING, "RFC 3339; the notification's `dateTime`."),
                "priority?": one_of(PRIORITIES),
                "expiresin?": SECONDS,
                "collapsekey?": TEXT,
                "orderkey?": TEXT,
                "destinationaddress?": TEXT,
            }
        ),
        "Taken": record(
            {
                "id": said(STRING, "The notification's."),
                "channels": said(COUNT, "To how many it goes."),
                "status": one_of(["accepted", "no_channel"]),
                "duplicate?": one_of([True], description="It was taken before, and is not sent."),
            }
        ),
        "Rejected": record(
            {
                "id": {"type": ["string", "null"]},
                "channels": one_of([0]),
                "status": one_of(["rejected"]),
                "error": either(ref("ServiceException"), ref("PolicyException")),
            }
        ),
        "NotificationList": record({"notificationList": listed(ref("Notification"))}),
    }


def operations(served: Served) -> Iterator[Operation]:
    """Publishing, and what channels have of their own in each dialect."""
    yield _publish(served)
    for dialect in served.dialects:
        yield _callback(dialect, served)
        yield from _polls(dialect)


def _publish(served: Served) -> Operation:
    most = served.publish_items
    item, event = ref("NotificationItem"), ref("CloudEvent")
    taken, verdicts = ref("Taken"), listed(either(ref("Taken"), ref("Rejected")), most)
    example = {
        "user": "alice@example.com",
        "service": "chat",
        "notification": {"chatMessageNotification": {"chatMessage": {"text": "hello"}}},
    }
    content = {
        JSON: {"schema": {"anyOf": [item, judged_one_by_one(item, most)]}, "example": example},
        STRUCTURED: {"schema": event},
        BATCHED: {"schema": judged_one_by_one(event, most)},
    }
    return Operation(
        method="POST",
        path=PATH,
        name="publish",
        tag=TAG,
        summary="Hand notifications in",
        description="One `NotificationItem`, or a list of them that are judged one by one; or "
        "CloudEvents, likewise. What is answered 202 is stored.",
        scope="publish",
        parameters=[IDEMPOTENCY],
        body={"required": True, "content": content},
        answers={202: answer("In the shape of the request.", either(taken, verdicts), REPLAY)},
        refusals=guarded(409, 415),
    )


def _callback(dialect: Dialect, served: Served) -> Operation:
    named = header("The notification's id.", GIVEN_ID)
    return Operation(
        method="POST",
        path=f"{dialect.channels_pattern}/{{channelId}}/callback",
        name=f"notifyChannel{suffix(dialect)}",
        tag=TAG,
        summary="Hand a notification to one channel",
        description="No subscription is needed. Other parameters are refused.",
        scope="publish",
        parameters=[
            query("service", "Needed where the root key tells none.", one_of(served.services)),
            query("priority", "Instead of the root key's.", one_of(PRIORITIES)),
            query("expires_in", "Instead of the root key's.", SECONDS),
            query("collapse_key", "Only the latest of these waits.", TEXT),
            query("order_key", "These stay in order.", TEXT),
            IDEMPOTENCY,
        ],
        body={"required": True, "content": {JSON: {"schema": ref("Notification")}}},
        answers={204: answer("It is stored.", headers={NOTIFICATION_ID: named, **REPLAY})},
        refusals=guarded(404, 409, 415),
    )


def _polls(dialect: Dialect) -> Iterator[Operation]:
    common: dict[str, Any] = {
        "path": f"{dialect.channels_pattern}/{{channelId}}/notifications",
        "tag": TAG,
        "summary": "Poll for notifications",
        "description": "Held until there is something, or for a while. The next poll settles what "
        "was answered.",
        "scope": "channels",
        "parameters": [query("since", "Settle up to here and nothing beyond, `<epoch>:<seq>`.")],
        "answers": {
            200: answer(
                "Maybe none.",
                ref("NotificationList"),
                {POSITION: header("What to give back as `since`.")},
            )
        },
    }
    ignored = {"required": False, "content": {JSON: {"schema": OBJECT}}}
    end = suffix(dialect)
    yield Operation(method="GET", name=f"poll{end}", refusals=guarded(404), **common)
    yield Operation(
        method="POST", name=f"pollByPost{end}", body=ignored, refusals=guarded(404, 415), **common
    )
