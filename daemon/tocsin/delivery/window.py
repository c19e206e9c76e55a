"""What was written to a client and not yet receipted (channels.md, CH-56, CH-58).

A stream is ordered, so one Ping behind the last frame asks for a receipt of everything before
it: its payload is the highest sequence written, and the Pong settles up to its payload.
"""

from typing import NamedTuple

from tocsin.model.delivery import Delivery


class Written(NamedTuple):
    """One frame on its way to the client."""

    seq: int
    delivery: int
    accepted_at: int


class Window:
    """The unsettled frames of one connection, in the order written."""

    __slots__ = ("_marked", "_pings", "last_seq", "limit", "unsettled")

    def __init__(self, *, last_seq: int, limit: int) -> None:
        self.last_seq = last_seq
        self.limit = limit
        self.unsettled: list[Written] = []
        self._pings: list[int] = []
        self._marked = last_seq

    def take_unmarked(self) -> list[Written]:
        """What is unsettled and was not taken before: its place is not yet in the store."""
        fresh = [one for one in self.unsettled if one.seq > self._marked]
        if fresh:
            self._marked = fresh[-1].seq
        return fresh

    @property
    def room(self) -> int:
        """Frames that may still be written."""
        return self.limit - len(self.unsettled)

    @property
    def open_pings(self) -> int:
        """Pings that may still settle something, or just find the connection alive."""
        return len(self._pings)

    def write(self, delivery: Delivery) -> int:
        """Note a frame; a delivery that was never written gets the next sequence."""
        if delivery.seq is None:
            delivery.seq = self.last_seq + 1
        self.last_seq = max(self.last_seq, delivery.seq)
        self.unsettled.append(Written(delivery.seq, delivery.id, delivery.notification.accepted_at))
        return delivery.seq

    def ping(self, upto: int) -> None:
        """Note a Ping that asks for a receipt up to a sequence."""
        if not self._pings or self._pings[-1] != upto:
            self._pings.append(upto)

    def pong(self, payload: bytes) -> list[Written]:
        """What a Pong settles; one that answers no Ping of ours settles nothing."""
        if not payload.isdigit() or len(payload) > 18:
            return []
        upto = int(payload)
        return self.settle(upto) if upto in self._pings else []

    def settle(self, upto: int) -> list[Written]:
        """Take out everything written up to a sequence, and the Pings that asked for it."""
        count = 0
        for written in self.unsettled:
            if written.seq > upto:
                break
            count += 1
        while self._pings and self._pings[0] <= upto:
            del self._pings[0]
        settled = self.unsettled[:count]
        del self.unsettled[:count]
        return settled
