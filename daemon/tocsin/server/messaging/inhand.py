"""A message in hand: done, answered, acknowledged (messaging.md, MS-17 to MS-21)."""

from typing import Final

import attrs
import structlog

from tocsin.messaging.link import Link
from tocsin.model.errors import StoreError
from tocsin.server.messaging.answer import RETRY, STORE_FAILED, Own
from tocsin.server.messaging.feed import Feed
from tocsin.server.messaging.outlet import Outlet
from tocsin.server.messaging.resuming import Replay
from tocsin.server.messaging.world import World
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import ClientMessage, Resume
from tocsin.wire.messaging.envelope import Refused
from tocsin.wire.messaging.refusals import ErrorCode, MessageError

OK: Final = "ok"
FAILED: Final = MessageError(ErrorCode.UNAVAILABLE, "it went wrong here; try again later", RETRY)

log = structlog.get_logger()


@attrs.frozen
class Reply:
    """One that is finished: with it the client has its Log up to that number."""

    text: bytes
    upto: int | None = None


def acknowledge(
    world: World,
    outlet: Outlet,
    asked: ClientMessage | Refused,
    error: MessageError | None,
    last: Reply | None = None,
) -> None:
    """Send the last reply and the `ack`, in one piece, and count it."""
    ack = answers.ack(asked.id, error)
    if last is None:
        outlet.write(ack)
    else:
        outlet.write(last.text, ack, upto=last.upto)
    result = OK if error is None else error.code.value
    world.metrics.messaging_client_messages[asked.type, result].inc()


@attrs.define(eq=False)
class InHand:
    """One message of one connection, while everything unsolicited is held back (MS-19).

    Nothing is written for which the client makes no room: lists go a part at a time (MS-30). The
    last reply goes with the `ack`.
    """

    world: World
    link: Link
    outlet: Outlet
    feed: Feed
    _last: Reply | None = attrs.field(default=None, init=False)

    async def answer(self, asked: ClientMessage | Refused) -> None:
        """Do it, send what it is answered with, and the `ack` when it is durable. Cancelled, it
        may have been done."""
        error = asked.error if isinstance(asked, Refused) else await self._done(asked)
        await self.outlet.room()
        last = self._last if error is None else None  # a list that was broken off (MS-20)
        acknowledge(self.world, self.outlet, asked, error, last)

    async def _done(self, asked: ClientMessage) -> MessageError | None:
        """Why it was not done. A bug in doing it costs one message, and not the connection."""
        try:
            if isinstance(asked, Resume):
                await self._resume(asked)
                return None
            answer = await self.world.desk.handle(self.link, asked)
            for reply in answer.replies:
                await self.outlet.room()
                self._write_last()
                self._last = self._finished(reply, asked.id)
        except StoreError:
            return STORE_FAILED
        except Exception:
            log.exception("messaging.crashed", type=asked.type)
            return FAILED
        return answer.error

    async def _resume(self, asked: Resume) -> None:
        subscriber = self.link.subscriber
        replay = Replay(self.world, self.outlet, self.feed, subscriber.key, asked)
        claimed = await replay.run()
        if claimed:
            correlator = self.link.correlator
            self.world.receipts.resumed(subscriber, claimed, correlator=correlator)

    def _finished(self, reply: bytes | Own, id_: str | None) -> Reply:
        if isinstance(reply, bytes):
            return Reply(reply)
        place = self.feed.reach(reply.entry)
        text = reply.rendered.text(reply_to=id_, cursor=place)
        return Reply(text, None if place is None else reply.entry.seq)

    def _write_last(self) -> None:
        if self._last is not None:
            self.outlet.write(self._last.text, upto=self._last.upto)
            self._last = None
