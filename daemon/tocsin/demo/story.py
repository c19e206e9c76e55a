"""What happens in the demo, act by act."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial

import attrs
import trio

from tocsin.demo.events import call, chat, presence, sms
from tocsin.demo.ledger import Expected
from tocsin.demo.link import attached
from tocsin.demo.screen import Screen
from tocsin.demo.stage import PHONE, SOCKET, WEBHOOK, Stage, took
from tocsin.demo.talker import Talker
from tocsin.demo.webhook import Webhook

DENTIST, PARCEL = "+16135550142", "+16135550177"


@attrs.define(eq=False)
class Story:
    """Told once. Nothing in it waits for an arrival beyond `deadline`, by Trio's clock: then it
    goes on, and the ledger has what is missing. With `restarts` off, the webhook stays down."""

    stage: Stage
    webhook: Webhook
    screen: Screen
    deadline: float
    restarts: bool = True

    async def tell(self) -> None:
        """All acts. Raises DemoError where the daemon refuses something."""
        async with self.webhook.up():
            await self._everybody_is_there()
            await self._socket_drops()
        async with self._socket():
            await self._webhook_is_dead()
            async with await self._webhook_again():
                await self._people_write()
                await self._have()

    async def _everybody_is_there(self) -> None:
        await self.screen.act(
            "An SMS, a chat message, a call and a presence event, to three channels"
        )
        async with self._socket():
            await self.stage.publish(
                sms(DENTIST, "Your turn is at nine"),
                chat("bob", "Are you coming?"),
                call("c-1", "Bob"),
                presence("bob@example.com", "Busy"),
            )
            await self._have()

    async def _socket_drops(self) -> None:
        await self.screen.act("The socket drops. Webhook and phone go on; for the tab it is kept")
        await self.stage.publish(
            chat("bob", "We are at the corner"),
            chat("bob", "By the fountain"),
            sms(DENTIST, "At ten, sorry"),
            presence("carol@example.com", "Away"),
        )
        await self._have(WEBHOOK, PHONE)
        await self.screen.act("The socket comes back to its channel, and is told what it missed")
        async with self._socket():
            await self._have()

    async def _webhook_is_dead(self) -> None:
        await self.screen.act("The webhook's receiver is killed. Nobody else waits for it")
        await self.stage.publish(
            sms(PARCEL, "A parcel is on its way"),
            sms(PARCEL, "The parcel has arrived"),
            chat("carol", "Lunch?"),
            call("c-2", "Carol"),
        )
        await self._have(SOCKET, PHONE)
        with trio.move_on_at(self.deadline):
            await self.stage.see_failure()

    async def _webhook_again(self) -> AbstractAsyncContextManager[None]:
        if not self.restarts:
            await self.screen.act("The receiver stays dead, as you asked for")
            return nullcontext()
        await self.screen.act("The receiver is started again, and what waited is tried again")
        return self.webhook.up()

    async def _people_write(self) -> None:
        ann, ben = self._talker("ann"), self._talker("ben")
        if self.restarts:
            await self._have()
        await self.screen.act("Ann and Ben write to each other")
        async with ann.connected():
            async with ben.connected():
                await self._write(ann, ben, "Hi Ben", "Do you have the keys?")
                await self._write(ben, ann, "I do")
                await self._have("ann", "ben")
            await self.screen.act("Ben drops, and resumes from his cursor")
            await self._write(ann, ben, "Leave them at the desk", "Thanks!")
            async with ben.connected():
                await self._write(ben, ann, "Done")
                await self._have("ann", "ben")

    def _talker(self, name: str) -> Talker:
        def arrived(id_: str, text: str) -> None:
            self.stage.ledger.arrived(name, id_, time.time(), text)

        return Talker(name, self.stage.daemon, arrived)

    async def _write(self, author: Talker, reader: Talker, *texts: str) -> None:
        for text in texts:
            at = time.time()
            id_ = await author.write(reader.name, text)
            key = f"message {author.name}"
            self.stage.ledger.expect(Expected(reader.name, id_, key, "message", text, at))

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[None]:
        stage, alice = self.stage, self.stage.alice
        heard = partial(took, stage.ledger, SOCKET)
        async with attached(alice.address, stage.socket_path, alice.token, heard):
            yield
            # Who drops before his receipts are through is told everything again.
            with trio.move_on_at(self.deadline):
                await stage.see_settled()

    async def _have(self, *receivers: str) -> None:
        with trio.move_on_at(self.deadline):
            await self.stage.have(*receivers)
