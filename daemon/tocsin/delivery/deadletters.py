"""Dead letters: looked through, replayed, purged (delivery.md, dead letters).

A replay is a new delivery of the same notification, same id, to the same channel, and takes the
letter's place in one transaction: after a crash it is the one or the other. It has as long as the
notification was given the first time, counted from now: a deadline that has passed would leave
nothing to replay. Letters of one channel go in the order in which they died, which for one order
key is the order of acceptance.

What is replayed makes nothing else drop out, nor drops out itself: it takes half of what may wait
for a channel (`limits.buffer_count`, `limits.buffer_bytes`), and the rest waits as letters until
some of that is delivered, or is left as letters where nothing is.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs
import trio

from tocsin.delivery.directory import Directory
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification
from tocsin.store.archive import Archive, LetterQuery, Place
from tocsin.store.records import Acceptance, DeadLetter

SLICE = 200
PATIENCE = 5.0
LOOK_AGAIN = 0.1
BEGINNING: Place = (0, 0)


@attrs.frozen
class Progressed:
    """How far a replay or a purge has come. `skipped` letters stay: their channel is gone, or full
    of what is not delivered. `next` is where to go on, None when it is through; with `until`, so
    that what dies meanwhile is left alone."""

    done: int
    skipped: int
    next: Place | None
    until: int


@attrs.define
class Tried:
    """What became of some letters: how many are deliveries again, in which channels, how many have
    no channel any more, and which wait for room."""

    done: int = 0
    channels: set[str] = attrs.field(factory=set)
    orphans: int = 0
    waiting: list[DeadLetter] = attrs.field(factory=list)


@attrs.define
class Room:
    """What is left of a replay's share in a channel; `is_empty`: nothing waits there."""

    deliveries: int
    bytes: int
    is_empty: bool

    def take(self, size: int) -> bool:
        """A place for one letter, if there is one; else there is none for those behind it."""
        has_place = self.is_empty or (self.deliveries > 0 and self.bytes >= size)
        self.deliveries = self.deliveries - 1 if has_place else 0
        self.bytes -= size
        self.is_empty = False
        return has_place


class DeadLetters:
    """What an operator does with what was given up. Everything here is done in slices, each durable
    by itself; whoever is interrupted goes on by asking again."""

    def __init__(
        self,
        archive: Archive,
        directory: Directory,
        store: Callable[[Acceptance], Awaitable[None]],
        *,
        limits: DeliveryLimits,
        clock: Callable[[], int],
    ) -> None:
        """`store` takes what was routed and hands it over (`Ingest.store`)."""
        self._archive = archive
        self._directory = directory
        self._store = store
        self._share = (limits.buffer_count // 2, limits.buffer_bytes // 2)
        self._clock = clock

    async def list(
        self, query: LetterQuery, *, after: Place | None, limit: int
    ) -> list[DeadLetter]:
        """The latest first, from beyond a place."""
        return await self._archive.dead_letters(query, after=after, oldest_first=False, limit=limit)

    async def replay(self, query: LetterQuery, *, after: Place | None = None) -> Progressed:
        """Deliver these again, the oldest first: for `PATIENCE` seconds, and where a channel was
        full for as long, for that time again with the others.

        Raises 503 when the backlog is full or the store fails before anything was replayed.
        """
        until = self._clock() if query.until is None else query.until
        query = attrs.evolve(query, until=until)
        deadline = trio.current_time() + PATIENCE
        done = skipped = 0
        moving, full = set[str](), set[str]()
        while True:
            letters = await self._archive.dead_letters(
                query, after=after, oldest_first=True, limit=SLICE
            )
            left: Sequence[DeadLetter] = [one for one in letters if one.channel_id not in full]
            passed_over = len(letters) - len(left)
            try:
                while left:
                    tried = await self._replay(left)
                    left, moving = tried.waiting, moving | tried.channels
                    done, passed_over = done + tried.done, passed_over + tried.orphans
                    if trio.current_time() >= deadline:
                        break
                    if left:
                        await trio.sleep(LOOK_AGAIN)
            except RequestError:
                if not done:
                    raise
                return Progressed(done, skipped, after or BEGINNING, until)
            if any(one.channel_id in moving for one in left):
                return Progressed(done, skipped, after or BEGINNING, until)
            full.update(one.channel_id for one in left)
            skipped += passed_over + len(left)
            if len(letters) < SLICE:
                return Progressed(done, skipped, None, until)
            after = (letters[-1].died_at, letters[-1].id)
            if trio.current_time() >= deadline + (PATIENCE if full else 0):
                return Progressed(done, skipped, after, until)

    async def purge(self, query: LetterQuery) -> Progressed:
        """Forget these, for `PATIENCE` seconds at most."""
        until = self._clock() if query.until is None else query.until
        query = attrs.evolve(query, until=until)
        deadline = trio.current_time() + PATIENCE
        done = 0
        while True:
            purged = await self._archive.purge_dead_letters(query, limit=SLICE)
            done += sum(purged.values())
            if sum(purged.values()) < SLICE:
                return Progressed(done, 0, None, until)
            if trio.current_time() >= deadline:
                return Progressed(done, 0, BEGINNING, until)

    async def _replay(self, letters: Sequence[DeadLetter]) -> Tried:
        """What can be done for these at once."""
        channels = await self._channels(letters)
        rooms = await self._rooms(channels.values())
        now = self._clock()
        acceptance = Acceptance()
        tried = Tried()
        for letter in letters:
            channel = channels.get(letter.channel_id)
            if channel is None:
                tried.orphans += 1
            elif not rooms[channel.key].take(len(letter.notification.body)):
                tried.waiting.append(letter)
            else:
                acceptance.replays[len(acceptance.notifications)] = letter.id
                acceptance.add(_renewed(letter.notification, now), [channel])
                tried.channels.add(channel.id)
        if acceptance.replays:
            await self._store(acceptance)
        tried.done = sum(number not in acceptance.repeats for number in acceptance.replays)
        return tried

    async def _rooms(self, channels: Iterable[Channel]) -> dict[int, Room]:
        """What a replay may put in for each of these channels, by key."""
        held = await self._archive.holdings([channel.key for channel in channels])
        most, most_bytes = self._share
        return {
            key: Room(most - count, most_bytes - size, is_empty=not count)
            for key, (count, size) in held.items()
        }

    async def _channels(self, letters: Sequence[DeadLetter]) -> dict[str, Channel]:
        """The living channels of these letters, by id; a letter's channel may be another user's
        than its notification (CH-96)."""
        wanted = list(dict.fromkeys(letter.channel_id for letter in letters))
        owners = await self._archive.owners(wanted) if wanted else {}
        accounts = await self._directory.accounts(list(owners.values()))
        now = self._clock()
        found = {}
        for account, channel_id in zip(accounts, owners, strict=True):
            channel = account.channel(channel_id, now)
            if channel is not None:
                found[channel_id] = channel
        return found


def _renewed(notification: Notification, now: int) -> Notification:
    """The same notification, with its original lifetime from now on."""
    lifetime = notification.expires_at - notification.accepted_at
    return attrs.evolve(notification, accepted_at=now, expires_at=now + lifetime)
