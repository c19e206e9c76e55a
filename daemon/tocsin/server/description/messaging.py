"""`/v1/messaging`: what is read and revoked over HTTP (messaging.md, section 11)."""

from collections.abc import Iterator
from typing import Any, Final

from tocsin.server.description import servermessages
from tocsin.server.description.operation import (
    ALWAYS,
    BEARER,
    GUARDED,
    QUERY_TOKEN,
    Operation,
    answer,
    body,
    query,
    refusal,
)
from tocsin.server.description.schema import (
    COUNT,
    DIGITS,
    FLAG,
    INSTANT,
    STRING,
    Schema,
    either,
    listed,
    nullable,
    one_of,
    record,
    ref,
    said,
    text,
)
from tocsin.server.description.served import Served
from tocsin.server.description.servermessages import CURSOR, MESSAGE_ID, STATUS, SUBSCRIBER
from tocsin.server.messaging.guard import CORRELATOR, SCOPE
from tocsin.server.messaging.rest import ADMIN, PREFIX
from tocsin.wire.messaging.limits import SHORT_CHARACTERS, MessageLimits
from tocsin.wire.messaging.parts import MOST_ENTRIES
from tocsin.wire.messaging.refusals import ErrorCode
from tocsin.wire.messaging.rest import TOKEN_CHARACTERS

TAG: Final = "Messaging"
ERROR: Final = ref("MessagingError")
NAME: Final = text(1, SHORT_CHARACTERS)


def schemas(served: Served) -> dict[str, Schema]:
    """Those of this face and of what messages hold."""
    limits = MessageLimits() if served.messaging is None else served.messaging.limits
    short = text(1, limits.short_characters)
    return {
        **servermessages.SCHEMAS,
        "MessagingError": record(
            {"error": record({"code": one_of([one.value for one in ErrorCode]), "text": text()})}
        ),
        "LogPage": record(
            {
                "messages": listed(ref("LogEntry")),
                "cursor": CURSOR,
                "complete": said(FLAG, "Nothing is missing before the first."),
                "more": FLAG,
            }
        ),
        "HistoryPage": record({"messages": listed(ref("HistoryMessage")), "more": FLAG}),
        "SubscriberPage": record(
            {
                "subscriber": ref("ChannelSubscriber"),
                "connections": listed(
                    record({"transport": text(), "since": INSTANT, "cursor": CURSOR})
                ),
                "log": record(
                    {"first": nullable(CURSOR), "last": nullable(CURSOR), "entries": COUNT}
                ),
            }
        ),
        "MessagePage": record(
            {
                "message-id": MESSAGE_ID,
                "recipients": listed(
                    record(
                        {
                            "subscriber-id": SUBSCRIBER,
                            "status": STATUS,
                            "legs": listed(ref("Attempt")),
                        }
                    )
                ),
            }
        ),
        "MessagingRevocation": either(
            _only("token", text(1, TOKEN_CHARACTERS)),
            _only("jti", short),
            _only("subscriber-id", NAME),
        ),
    }


def operations(served: Served) -> Iterator[Operation]:
    """All of them, where messaging is on."""
    if served.messaging is not None:
        yield from _readouts(served.messaging.limits)
        yield from _oversight()


def _readouts(limits: MessageLimits) -> Iterator[Operation]:
    short = text(1, limits.short_characters)
    limit = query("limit", f"At most {limits.page}; clamped.", DIGITS)
    members = {"subscribers": listed(ref("ChannelSubscriber"), MOST_ENTRIES), "more": FLAG}
    yield _operation(
        "log",
        "readLog",
        "What one was told since a cursor, as after a `resume`",
        answer("A page.", ref("LogPage")),
        description="Proves receipt up to `after`, and to the device of `correlator`.",
        parameters=[
            query("after", "A cursor; without one, all there is.", STRING),
            limit,
            query(CORRELATOR, "The clientCorrelator of the device.", STRING),
        ],
    )
    yield _operation(
        "channels",
        "listMemberships",
        "One's memberships",
        answer("All of them.", record({"channels": listed(ref("ChannelMembership"))})),
    )
    yield _operation(
        "channels/{roomId}/subscribers",
        "listMembers",
        "Members of a conversation, for its members",
        answer("A page, by their ids.", record(members)),
        parameters=[query("after", "The last one of the page before.", NAME)],
        refusals=(404,),
    )
    yield _operation(
        "history",
        "readHistory",
        "A page of a conversation, oldest first",
        answer("A page.", ref("HistoryPage")),
        description="Name the other one or the conversation; bounds are exclusive.",
        parameters=[
            query("subscriber-id", "The other one.", NAME),
            query("channel-id", "Or the conversation.", short),
            query("before", "A message-id.", short),
            query("after", "Or this.", short),
            limit,
        ],
        refusals=(404,),
    )


def _oversight() -> Iterator[Operation]:
    domain = query("domain", "Where tokens are for no domain in particular.", NAME)
    yield _operation(
        "subscribers/{subscriberId}",
        "getSubscriber",
        "How a subscriber is connected, and what waits for him",
        answer("What is known.", ref("SubscriberPage")),
        scope=ADMIN,
        parameters=[domain],
        refusals=(404,),
    )
    yield _operation(
        "messages/{messageId}",
        "getMessage",
        "What became of a message, without what it says",
        answer("By recipient.", ref("MessagePage")),
        scope=ADMIN,
        parameters=[domain],
        refusals=(404,),
    )
    yield _operation(
        "revoke",
        "revokeForMessaging",
        "End a token, or all of a subscriber's, and the connections they opened",
        answer("Nobody gets in by it any more."),
        method="POST",
        scope=ADMIN,
        parameters=[domain],
        body=body(ref("MessagingRevocation")),
        refusals=(415,),
    )


def _operation(
    path: str,
    name: str,
    summary: str,
    success: Schema,
    *,
    method: str = "GET",
    scope: str = SCOPE,
    refusals: tuple[int, ...] = (),
    **more: Any,
) -> Operation:
    return Operation(
        method=method,
        path=f"{PREFIX}/{path}",
        name=name,
        tag=TAG,
        summary=summary,
        scope=scope,
        security=[{BEARER: [scope]}, {QUERY_TOKEN: [scope]}],
        answers={
            (200 if "content" in success else 204): success,
            431: refusal(431, ref("RequestError")),
        },
        refusals=(*ALWAYS, *GUARDED, 406, *refusals),
        refused_as=ERROR,
        **more,
    )


def _only(name: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {name: schema}, "required": [name]}
