"""The REST resources: what is asked and what is answered (messaging.md, 11).

Objects are those of `answers` without `type` and `reply-to`; only where a list mixes kinds their
`type` stays. What is wrong with a request is raised as `RestError`, whose body is this face's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import orjson

from tocsin.wire.integers import integer
from tocsin.wire.messaging.answers import array, membership_entry, subscriber_entry, timestamp
from tocsin.wire.messaging.clientmessages import DEFAULT_PAGE, Party
from tocsin.wire.messaging.cursor import OLDEST
from tocsin.wire.messaging.fields import FieldError, Fields, bad
from tocsin.wire.messaging.limits import STANDARD, MessageLimits
from tocsin.wire.messaging.refusals import ErrorCode, MessageError, RestError
from tocsin.wire.messaging.views import MembershipView, SubscriberView
from tocsin.wire.messaging.words import MessageStatus

Params = Mapping[str, str]
LOG_PAGE: Final = 100
TOKEN_CHARACTERS: Final = 8192


@attrs.frozen
class LogQuery:
    """What follows a cursor, which may be anything, as in a `resume`; `OLDEST`: all there is.

    `proves`: the client has what is up to its cursor (MS-54).
    """

    after: str
    limit: int

    @property
    def proves(self) -> bool:
        """It has said how far it has come."""
        return self.after != OLDEST


@attrs.frozen
class HistoryQuery:
    """A page of a conversation, as in a `history`."""

    party: Party
    before: str | None
    after: str | None
    limit: int


@attrs.frozen
class TokenRevocation:
    """One token ends."""

    token: str = attrs.field(repr=False)


@attrs.frozen
class JtiRevocation:
    """The token that calls itself so ends."""

    jti: str


@attrs.frozen
class SubscriberRevocation:
    """Every token that was issued to somebody up to now ends."""

    subscriber_id: str


Revocation = TokenRevocation | JtiRevocation | SubscriberRevocation


@attrs.frozen
class ConnectionView:
    """A live connection; `since` is epoch milliseconds, `cursor` the place it has reached."""

    transport: str
    since: int
    cursor: str


@attrs.frozen
class LogView:
    """What is kept for a subscriber; None where the Log is empty."""

    first: str | None
    last: str | None
    entries: int


@attrs.frozen
class RecipientView:
    """What became of a message for one recipient: `legs` are rows of the delivery log."""

    subscriber_id: str
    status: MessageStatus
    legs: Sequence[Mapping[str, Any]] = ()


def log_query(params: Params, limits: MessageLimits = STANDARD) -> LogQuery:
    """GET `/log`."""
    with _refusing():
        return LogQuery(
            after=params.get("after", OLDEST), limit=_fields(params, limits).page("limit", LOG_PAGE)
        )


def history_query(params: Params, limits: MessageLimits = STANDARD) -> HistoryQuery:
    """GET `/history`."""
    with _refusing():
        given = _fields(params, limits)
        party = given.party()
        given.at_most_one("before", "after")
        return HistoryQuery(
            party=party,
            before=given.optional(given.short, "before"),
            after=given.optional(given.short, "after"),
            limit=given.page("limit", DEFAULT_PAGE),
        )


def members_after(params: Params) -> str | None:
    """GET `/channels/{channel-id}/subscribers`: behind whom the page begins."""
    with _refusing():
        given = _fields(params, STANDARD)
        return given.optional(given.subscriber, "after")


def domain_of(params: Params, own: str | None) -> str:
    """Where an admin acts: in the domain of the token, else in the one that is named (MS-66)."""
    with _refusing():
        if own is None and "domain" not in params:
            raise bad("?domain=...: this token names no domain, so the query must")
        if own is None:
            return _fields(params, STANDARD).short("domain")
    if params.get("domain", own) != own:
        raise RestError(MessageError(ErrorCode.FORBIDDEN, "this token is for another domain"))
    return own


def revocation(document: object) -> Revocation:
    """POST `/revoke`: the JSON body."""
    with _refusing():
        if not isinstance(document, dict):
            raise bad("body: an object")
        given = Fields(document, STANDARD)
        match given.exactly_one("token", "jti", "subscriber-id"):
            case "token":
                return TokenRevocation(_token(given))
            case "jti":
                return JtiRevocation(given.short("jti"))
            case name:
                return SubscriberRevocation(given.subscriber(name))


def log_page(entries: Iterable[bytes], *, cursor: str, complete: bool, more: bool) -> bytes:
    """Entries are whole messages, `Rendered.text` with a cursor and no `reply-to`."""
    members = {"messages": array(entries), "cursor": cursor, "complete": complete, "more": more}
    return orjson.dumps(members)


def rooms(views: Iterable[MembershipView]) -> bytes:
    """One's own memberships."""
    return orjson.dumps({"channels": array(map(membership_entry, views))})


def members_page(views: Iterable[SubscriberView], *, more: bool) -> bytes:
    """Members of a Room; the next page is asked for with the last one's id."""
    return orjson.dumps({"subscribers": array(map(subscriber_entry, views)), "more": more})


def history_page(entries: Iterable[bytes], *, more: bool) -> bytes:
    """Entries are `Rendered.bare`, oldest first."""
    return orjson.dumps({"messages": array(entries), "more": more})


def subscriber_page(
    view: SubscriberView, connections: Iterable[ConnectionView], log: LogView
) -> bytes:
    """What the operator sees of a subscriber."""
    members = {
        "subscriber": orjson.Fragment(subscriber_entry(view)),
        "connections": [
            {"transport": one.transport, "since": timestamp(one.since), "cursor": one.cursor}
            for one in connections
        ],
        "log": {"first": log.first, "last": log.last, "entries": log.entries},
    }
    return orjson.dumps(members)


def message_page(message_id: str, recipients: Iterable[RecipientView]) -> bytes:
    """What the operator sees of a message: all but its content."""
    members = {
        "message-id": message_id,
        "recipients": [
            {
                "subscriber-id": one.subscriber_id,
                "status": one.status.word,
                "legs": [dict(leg) for leg in one.legs],
            }
            for one in recipients
        ],
    }
    return orjson.dumps(members)


@contextmanager
def _refusing() -> Iterator[None]:
    """What is wrong with a field, said as this face says it over HTTP."""
    try:
        yield
    except FieldError as error:
        raise RestError(error.error) from None


def _fields(params: Params, limits: MessageLimits) -> Fields:
    """The parameters of a query, `limit` as a number if it is one: one below zero is clamped like
    any other."""
    limit = integer(params.get("limit", "").removeprefix("-"))
    if limit is not None and params["limit"].startswith("-"):
        limit = -limit
    return Fields(params if limit is None else {**params, "limit": limit}, limits)


def _token(given: Fields) -> str:
    token = given.string("token")
    if not 1 <= len(token) <= TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise bad("token: as it is presented")
    return token
