"""Dead letters: looked through, replayed, purged (delivery.md, dead letters).

A replay is a new delivery of the same notification, same id, to the same channel, and takes the
letter's place in one transaction: after a crash it is the one or the other. It has as long as the
notification was given the first time, counted from now: a deadline that has passed would leave
nothing to replay. Letters of one channel go in the order in which they died, which for one order
key is the order of acceptance.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from tocsin.delivery.directory import Directory
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification
from tocsin.store.archive import Archive, LetterQuery, Place
from tocsin.store.records import Acceptance, DeadLetter

SLICE = 200
PATIENCE = 5.0


@attrs.frozen
class Progressed:
    """How far a replay or a purge has come. `skipped` letters stay: their channel is gone. `next`
    is where to go on, None when it is through; with `until`, so that what dies meanwhile is left
    alone."""

    done: int
    skipped: int
    next: Place | None
    until: int


class DeadLetters:
    """What an operator does with what was given up. Everything here is done in slices, each durable
    by itself; whoever is interrupted goes on by asking again."""

    def __init__(
        self,
        archive: Archive,
        directory: Directory,
        store: Callable[[Acceptance], Awaitable[None]],
        *,
        clock: Callable[[], int],
    ) -> None:
        """`store` takes what was routed and hands it over (`Ingest.store`)."""
        self._archive = archive
        self._directory = directory
        self._store = store
        self._clock = clock

    async def list(
        self, query: LetterQuery, *, after: Place | None, limit: int
    ) -> list[DeadLetter]:
        """The latest first, from beyond a place."""
        return await self._archive.dead_letters(query, after=after, oldest_first=False, limit=limit)

    async def replay(self, query: LetterQuery, *, after: Place | None = None) -> Progressed:
        """Deliver these again, the oldest first, for `PATIENCE` seconds at most.

        Raises 503 when the backlog is full or the store fails before anything was replayed.
        """
        until = self._clock() if query.until is None else query.until
        query = attrs.evolve(query, until=until)
        deadline = trio.current_time() + PATIENCE
        done = skipped = 0
        while True:
            letters = await self._archive.dead_letters(
                query, after=after, oldest_first=True, limit=SLICE
            )
            try:
                replayed, orphans = await self._replay(letters)
            except RequestError:
                if not done:
                    raise
                return Progressed(done, skipped, after, until)
            done += replayed
            skipped += orphans
            if len(letters) < SLICE:
                return Progressed(done, skipped, None, until)
            after = (letters[-1].died_at, letters[-1].id)
            if trio.current_time() >= deadline:
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
                return Progressed(done, 0, (0, 0), until)

    async def _replay(self, letters: Sequence[DeadLetter]) -> tuple[int, int]:
        """How many of these are delivered again, and how many have no channel any more."""
        channels = await self._channels(letters)
        now = self._clock()
        acceptance = Acceptance()
        kinds: list[ChannelType] = []
        for letter in letters:
            channel = channels.get(letter.channel_id)
            if channel is not None:
                acceptance.replays[len(kinds)] = letter.id
                acceptance.add(_renewed(letter.notification, now), [channel])
                kinds.append(letter.type)
        if kinds:
            await self._store(acceptance)
        gone = Counter(
            kind for number, kind in enumerate(kinds) if number not in acceptance.repeats
        )
        return gone.total(), len(letters) - len(kinds)

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
