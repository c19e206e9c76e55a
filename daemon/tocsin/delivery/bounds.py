"""How much may wait for one channel, and what makes way when that is too much (delivery.md).

The store counts what a channel holds, but counting costs. So each channel carries the room that
was left when it was last counted, less what was accepted since; only when that is used up is it
counted again, in the transaction that stores the next delivery. What is delivered meanwhile makes
the true room larger, never smaller.

A client that keeps up is not written about: its deliveries go to it straight from memory.
"""

from collections import Counter
from typing import Protocol

from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel
from tocsin.ops.metrics import Metrics
from tocsin.store.records import Acceptance


class Holder(Protocol):
    """A queue that holds deliveries in memory. Nothing here waits."""

    def set_aside(self, acceptance: Acceptance) -> None:
        """Before an acceptance is stored: begin nothing of what it may replace, and note that in
        `acceptance.aside` and `acceptance.claiming`."""

    def made_way(self, acceptance: Acceptance) -> None:
        """After it was stored, or was not: hold again what is still there, and look for what
        stood behind the rest."""


class Bounds:
    """Says of an acceptance what the store has to make room for."""

    def __init__(self, sessions: Sessions, limits: DeliveryLimits, metrics: Metrics) -> None:
        """`holders` are the queues, to be added: what they hold may make way like the rest."""
        self.holders: list[Holder] = []
        self._sessions = sessions
        self._bounds = (limits.buffer_count, limits.buffer_bytes)
        self._metrics = metrics
        self._counting: Counter[int] = Counter()

    def apply(self, acceptance: Acceptance) -> None:
        """Before it is stored: take up room, and note what is to be counted or collapsed."""
        acceptance.bounds = self._bounds
        crowded = acceptance.crowded
        entries = zip(acceptance.notifications, acceptance.deliveries, strict=True)
        for place, (notification, legs) in enumerate(entries):
            size = len(notification.body)
            # A dead letter that is tried again is older than what came in between.
            key = None if place in acceptance.replays else notification.collapse_key
            for delivery in legs:
                channel = delivery.channel
                channel.room -= 1
                channel.room_bytes -= size
                # One without a key is to be stored along: it holds nothing yet.
                if channel.key and (channel.room < 0 or channel.room_bytes < 0):
                    crowded[channel.key] = channel
                if key is not None and not self._keeps_up(channel):
                    acceptance.collapsing.append(delivery)
        if crowded or acceptance.collapsing:
            self._note_places(acceptance)
            self._counting.update(crowded.keys())
        if crowded or acceptance.collapsing or acceptance.withdrawing:
            for holder in self.holders:
                holder.set_aside(acceptance)

    def applied(self, acceptance: Acceptance) -> None:
        """After it was stored, or was not: the room there is now, and what made way.

        While another acceptance is on its way to be counted, its count will be the newer one.
        """
        if acceptance.aside or acceptance.claiming or acceptance.trimmed.ids:
            for holder in self.holders:
                holder.made_way(acceptance)
        for (kind, outcome), count in acceptance.trimmed.ended.items():
            self._metrics.deliveries[kind, outcome].inc(count)
        for key, channel in acceptance.crowded.items():
            self._counting[key] -= 1
            if not self._counting[key]:
                del self._counting[key]
                channel.room, channel.room_bytes = acceptance.trimmed.rooms.get(key, (0, 0))

    def _keeps_up(self, channel: Channel) -> bool:
        session = self._sessions.of(channel)
        return session is not None and session.ticket() is not None

    def _note_places(self, acceptance: Acceptance) -> None:
        """What was written, or receipted, must not be taken for waiting."""
        for channel in acceptance.crowded.values():
            self._sessions.note_places(channel)
        for delivery in acceptance.collapsing:
            self._sessions.note_places(delivery.channel)
