"""Who takes part in the tests that kill."""

import attrs
import trio
from tests.end_to_end.clients import User
from tests.end_to_end.consumers import (
    Counter,
    Listener,
    Mover,
    Page,
    Poller,
    new_channel,
    subscribe,
)
from tests.end_to_end.load import Load
from tests.end_to_end.producers import Producer
from tests.fakes.receiver import Receiver

READERS = ("alice", "bob")


@attrs.define
class Cast:
    """Every reader has a client of every kind and a webhook, dave has a page that is reloaded,
    and erin's channels come and go."""

    load: Load
    hook: Receiver
    mover: Mover
    page: Page
    callbacks: list[tuple[User, str, str]] = attrs.field(factory=list)
    _hooks: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    async def enter(cls, load: Load, hook: Receiver, nursery: trio.Nursery) -> "Cast":
        """Create all channels and have their clients come."""
        mover = Mover(load, User(load.daemon, "erin"))
        page = Page(load, User(load.daemon, "dave"), "dave's page")
        self = cls(load, hook, mover, page)
        load.keep_books(hook, self._hooks.__getitem__)
        for name in READERS:
            await self._enter(User(load.daemon, name), nursery)
        load.ledger.ignore("erin")
        await subscribe(page.user, await new_channel(page.user, "page"))
        load.ledger.open_mailbox(page.mailbox, "dave", moving=True)
        nursery.start_soon(page.run)
        return self

    def producers(self) -> list[Producer]:
        """Careless and careful ones, with ids and keys of their own, and one that calls back."""
        load, users = self.load, [*READERS, "dave", "erin"]
        return [
            Producer(load, "single", users),
            Producer(load, "list", users, batch=40),
            Producer(load, "careful", users, is_careful=True),
            Producer(load, "careful-list", users, batch=7, is_careful=True),
            Producer(load, "keyed", users, is_careful=True, with_key=True),
            Producer(load, "keyed-list", users, batch=7, is_careful=True, with_key=True),
            Producer(load, "callback", self.callbacks, is_careful=True, with_key=True),
        ]

    async def _enter(self, user: User, nursery: trio.Nursery) -> None:
        load = self.load
        for kind in ("good", "mute", "counting", "polling", "exact"):
            is_polled = kind in {"polling", "exact"}
            channel = await user.open_channel(
                "LongPolling" if is_polled else "websockets", clientCorrelator=kind
            )
            mailbox = await self._subscribe(user, channel, kind, exact=kind == "exact")
            consumer: Poller | Listener
            if is_polled:
                consumer = Poller(load, user, channel, mailbox, counting=kind == "exact")
            elif kind == "counting":
                consumer = Counter(load, user, channel, mailbox, mute=0.5, restless=True)
            else:
                mute = 0.7 if kind == "mute" else 0.0
                consumer = Listener(load, user, channel, mailbox, mute=mute, restless=mute > 0)
            nursery.start_soon(consumer.run)
        path = f"/{user.name}"
        data = {"x-webhookURL": f"http://127.0.0.1:{self.hook.port}{path}"}
        channel = await user.open_channel("Webhooks", channelData=data)
        self._hooks[path] = await self._subscribe(user, channel, "webhook", exact=False)

    async def _subscribe(self, user: User, channel: str, kind: str, *, exact: bool) -> str:
        mailbox = f"{user.name} {kind}"
        await user.subscribe(channel)
        self.load.ledger.open_mailbox(mailbox, user.name, exact=exact)
        self.callbacks.append((user, channel, mailbox))
        return mailbox
