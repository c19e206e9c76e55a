"""The operator API: channels, lanes, the log, dead letters, apps, tokens (OP-3, OP-18)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tocsin.delivery.revocations import By
from tocsin.model.channel import ChannelType
from tocsin.server.description import operatorviews
from tocsin.server.description.operation import Operation, answer, body, guarded, query
from tocsin.server.description.operatorviews import PLACE
from tocsin.server.description.schema import (
    DIGITS,
    FLAG,
    INTEGER,
    STRING,
    Schema,
    any_case,
    either,
    listed,
    record,
    ref,
    request,
    said,
    text,
)
from tocsin.server.operator import ADMIN, PREFIX
from tocsin.server.operatorquery import DEFAULT, LONGEST, MOST, MOST_IDS
from tocsin.server.operatortokens import DOMAIN
from tocsin.server.operatortokens import LONGEST as LONGEST_NAME

TAG: Final = "Operation"
SCHEMAS: Final = operatorviews.SCHEMAS
SINCE: Final[Schema] = {
    "anyOf": [{"type": "integer", "minimum": 0}, DIGITS, {"type": "string", "format": "date-time"}],
    "description": "Epoch milliseconds, or RFC 3339.",
}
TEXT: Final = text(1, LONGEST)
LIMIT: Final = query(
    "limit", f"{DEFAULT}, if not given.", {"type": "integer", "minimum": 1, "maximum": MOST}
)
BEFORE: Final = query("before", "The `next` of the page before.", DIGITS)
AFTER: Final = query("after", "The `next` of the page before.", STRING)
WHOSE: Final = (
    query("channel", "Of this channel.", TEXT),
    query("user", "Of this user.", TEXT),
    query("notification", "Of this notification.", TEXT),
)
ORDER: Final = request(
    {
        "ids?": listed({"type": "integer", "minimum": 0}, MOST_IDS, minItems=1),
        "channel?": TEXT,
        "user?": TEXT,
        "notification?": TEXT,
        "since?": SINCE,
        "all?": said(FLAG, "Needed where nothing else says which."),
        "resume?": said(PLACE, "Of the answer before."),
    },
    closed=True,
)
GONE: Final = answer("Done.")


def operations() -> Iterator[Operation]:
    """All of them; the admin listener alone has them."""
    yield from _channels()
    yield from _lanes()
    yield from _log()
    yield from _letters()
    yield from _apps()
    yield from _tokens()


def _channels() -> Iterator[Operation]:
    one = "channels/{channelId}"
    channel = answer("The channel.", record({"channel": ref("OperatorChannel")}))
    whole = record({"channel": ref("OperatorChannelWithSubscriptions")})
    page = record({"channels": listed(ref("OperatorChannel")), "next?": _next(INTEGER)})
    kind = query("type", "Of this type, in any case.", any_case(ChannelType))
    whose = query("user", "Of this user: all of them.", STRING)
    yield _get("channels", "listAllChannels", "List channels", page, [kind, whose, BEFORE, LIMIT])
    yield _get(one, "getAnyChannel", "Read a channel with its subscriptions", whole, missing=True)
    yield _operation("DELETE", one, "deleteAnyChannel", "Delete a channel", {204: GONE}, 404)
    for verb, summary in (
        ("suspend", "Have what is for a channel wait"),
        ("resume", "Have what waits for a channel due now"),
    ):
        yield _operation("POST", f"{one}/{verb}", f"{verb}Channel", summary, {200: channel}, 404)


def _lanes() -> Iterator[Operation]:
    page = record({"lanes": listed(ref("Lane")), "next": _next(STRING)})
    blocked = query("blocked", "`true`: only blocked ones.", STRING)
    yield _get(
        "lanes", "listLanes", "List lanes with work, or blocked", page, [blocked, AFTER, LIMIT]
    )
    for verb, summary, refusals in (
        ("pause", "Have nothing more attempted on a lane", ()),
        ("resume", "Have a lane tried at once", (404,)),
    ):
        yield _operation(
            "POST", f"lanes/{{lane}}/{verb}", f"{verb}Lane", summary, {204: GONE}, *refusals
        )


def _log() -> Iterator[Operation]:
    page = record({"attempts": listed(ref("Attempt")), "next": _next(INTEGER)})
    yield _get(
        "deliveries",
        "listAttempts",
        "Read the delivery log of a channel, user or notification",
        page,
        [*WHOSE, BEFORE, LIMIT],
    )
    yield _get(
        "notifications/{id}",
        "getNotification",
        "A notification's whole way",
        ref("NotificationPath"),
        missing=True,
    )


def _letters() -> Iterator[Operation]:
    page = record({"dead_letters": listed(ref("DeadLetter")), "next": _next(PLACE)})
    since = query("since", "Not before.", STRING)
    before = query("before", "The `next` of the page before.", PLACE)
    yield _get(
        "deadletters", "listDeadLetters", "List dead letters", page, [*WHOSE, since, before, LIMIT]
    )
    yield _get(
        "deadletters/{id}",
        "getDeadLetter",
        "Read a dead letter",
        record({"dead_letter": ref("WholeDeadLetter")}),
        missing=True,
    )
    for verb, done, summary in (
        ("replay", "replayed", "Deliver dead letters again"),
        ("purge", "purged", "Forget dead letters"),
    ):
        progress = record({done: INTEGER, "skipped?": INTEGER, "resume?": PLACE})
        yield _operation(
            "POST",
            f"deadletters/{verb}",
            f"{verb}DeadLetters",
            summary,
            {200: answer("With `resume`, there are more: ask again with it.", progress)},
            415,
            body=body(ORDER),
        )


def _apps() -> Iterator[Operation]:
    yield _get("apps", "listApps", "List apps on phones", record({"apps": listed(ref("App"))}))
    yield _operation(
        "POST",
        "apps/{app}/clear",
        "clearRemovalGuard",
        "Believe again what the provider says of an app's tokens",
        {204: GONE},
        404,
    )
    yield _operation(
        "POST",
        "apps/{app}/restore",
        "restoreTokens",
        "Bring back what was removed for an app's tokens, of the last day",
        {200: answer("So many.", record({"restored": INTEGER}))},
        404,
        415,
        body=body(request({"since": SINCE}, closed=True)),
    )


def _tokens() -> Iterator[Operation]:
    ways = [by for by in By if by is not By.SUBSCRIBER]
    named = [request({by: text(1, LONGEST_NAME[by])}, closed=True) for by in ways]
    whose = {name: text(1, LONGEST_NAME[name]) for name in (By.SUBSCRIBER, DOMAIN)}
    named.append(request(whose, closed=True))
    yield _operation(
        "POST",
        "tokens/revoke",
        "revokeTokens",
        "Void tokens before their time, and close what they opened",
        {204: GONE},
        415,
        body=body(either(*named)),
    )
    page = record({"revocations": listed(ref("Revocation")), "next": _next(STRING)})
    yield _get("tokens/revoked", "listRevocations", "What is revoked", page, [AFTER, LIMIT])


def _next(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}], "description": "null: there are no more."}


def _get(
    path: str,
    name: str,
    summary: str,
    found: Schema,
    parameters: list[Schema] | None = None,
    *,
    missing: bool = False,
) -> Operation:
    return _operation(
        "GET",
        path,
        name,
        summary,
        {200: answer("What was asked for.", found)},
        *((404,) if missing else ()),
        parameters=parameters or (),
    )


def _operation(
    method: str,
    path: str,
    name: str,
    summary: str,
    answers: Mapping[int, Schema],
    *refusals: int,
    **more: Any,
) -> Operation:
    return Operation(
        method=method,
        path=f"{PREFIX}/{path}",
        name=name,
        tag=TAG,
        summary=summary,
        scope=ADMIN,
        answers=answers,
        refusals=guarded(*refusals),
        **more,
    )
