"""What clients send over HTTP (sockjs.md, section 4): bodies in, the hand-over waited for."""

from collections.abc import Sequence
from typing import Final

import trio

from tocsin.server.sockjs.session import Handover, Session
from tocsin.wire.request import Request
from tocsin.wire.sockjs.frames import TRY_AGAIN_LATER
from tocsin.wire.sockjs.receiving import jsonp_messages, xhr_messages
from tocsin.wire.sockjs.refusals import Refusal
from tocsin.wire.sockjs.urls import Kind

ROOM_WITHIN: Final = 10.0


def read_messages(kind: Kind, request: Request) -> list[str] | Refusal:
    """The messages of a sending request."""
    if kind is Kind.JSONP_SEND:
        return jsonp_messages(request.body, request.headers.get("content-type"))
    return xhr_messages(request.body)


async def hand_over(session: Session, messages: Sequence[str]) -> Handover:
    """Wait for room in the inbox, a while; then the session is closed with 1013 (SJ-19).

    Never `FULL`. Cancelled, nothing was handed over.
    """
    with trio.move_on_after(ROOM_WITHIN):
        while (handover := session.received(messages)) is Handover.FULL:
            await _room(session)
        return handover
    session.close(*TRY_AGAIN_LATER)
    return Handover.CLOSING


async def _room(session: Session) -> None:
    event = trio.Event()
    withdraw = session.when_room(event.set)
    try:
        await event.wait()
    finally:
        withdraw()
