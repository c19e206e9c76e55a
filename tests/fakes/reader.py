"""A client that looks into the store for what it was not pushed, as a real session does."""

from tests.fakes.memory_session import MemorySession
from tests.fakes.world import World

from tocsin.delivery.window import Written
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.store.records import Waiting

MANY = 1000


class Reader(MemorySession):
    """Connected as soon as it is made; for a store that commits inline. `read` are the ids of
    the notifications it got, in order."""

    def __init__(self, world: World, channel: Channel) -> None:
        super().__init__(world.sessions, channel)
        self.read: list[str] = []
        self._world = world
        self._is_behind = True
        self._seen: set[int] = set()
        world.sessions.attach(self)
        self.flush()

    def fall_behind(self) -> None:
        self._is_behind = True

    def flush(self) -> None:
        for delivery in self.pushed:
            self._take(delivery.id, delivery.notification.id)
        self.pushed.clear()
        if self._is_behind:
            self._is_behind = False
            self._world.store.fetch_waiting(
                self.channel, now=self._world.clock(), after=0, limit=MANY, then=self._fetched
            )

    def leave(self, *, cleanly: bool = False) -> None:
        """The connection is over; what was read stays unsettled."""
        self._world.sessions.detach(self, self.unsettled, cleanly=cleanly)

    def receipt(self) -> None:
        """Everything read has been received."""
        settled, self.unsettled = self.unsettled, []
        self._world.sessions.receipted(settled, self.channel)
        self._world.sessions.flush()

    def _fetched(self, found: list[Waiting] | None, error: StoreError | None) -> None:
        assert found is not None, error
        for one in found:
            self._take(one.id, one.notification.id)

    def _take(self, delivery: int, id_: str) -> None:
        if delivery not in self._seen:
            self._seen.add(delivery)
            self.read.append(id_)
            self.channel.last_seq += 1
            self.unsettled.append(Written(self.channel.last_seq, delivery, self._world.clock()))
