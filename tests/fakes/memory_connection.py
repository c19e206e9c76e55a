"""Connections that go nowhere but to a receiver in the same process."""

from typing import Any

import attrs
import trio
import trio.testing
from tests.fakes.receiver import Receiver

from tocsin.transports.dial import RECEIVE_SIZE, ConnectionLostError
from tocsin.transports.patience import Patience
from tocsin.wire.endpoint import Endpoint


@attrs.define(eq=False)
class MemoryConnection:
    """One end of a pair of memory streams, as a `Connection`."""

    stream: trio.StapledStream[Any, Any]
    quiet: bool = True
    closed: bool = False

    async def send_all(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise ConnectionLostError from error

    async def receive_some(self) -> bytes:
        return bytes(await self.stream.receive_some(RECEIVE_SIZE))

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed = True
        # Both kinds of memory stream can be closed without waiting.
        self.stream.send_stream.close()
        self.stream.receive_stream.close()


@attrs.define(eq=False)
class MemoryDialler:
    """Every connection is served by `receiver`, in `nursery`."""

    nursery: trio.Nursery
    receiver: Receiver = attrs.field(factory=Receiver)
    made: list[MemoryConnection] = attrs.field(factory=list)

    async def __call__(self, _endpoint: Endpoint, _patience: Patience) -> MemoryConnection:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.receiver.serve, theirs)
        connection = MemoryConnection(ours)
        self.made.append(connection)
        return connection
