"""The books of a delivery test: what was sent, what was promised, what arrived where.

Publishers note each item before its request leaves (`sent`) and each 202 (`promised`); receivers
note what arrives (`arrived`). At the end `missing` and `mistakes` judge the promises of
delivery.md: at least once, in order within an order key, duplicates only under the same id.

An order key belongs to one publisher that has one request under way, so the order of `sent` is
the order of acceptance. Items whose request was cut off are in the books but not promised: they
may arrive or not, and if they do, in their place.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import attrs
from tests.end_to_end.clients import chat, id_of, text_of


@attrs.frozen
class Entry:
    """One notification; `place` grows with each one sent."""

    id: str
    user: str
    order_key: str
    place: int


@attrs.define
class Ledger:
    """The books for users whose channels are known before the first item is sent."""

    _audience: defaultdict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    _entries: dict[str, Entry] = attrs.field(factory=dict)
    _promised: dict[str, Entry] = attrs.field(factory=dict)
    _arrivals: defaultdict[str, dict[str, int]] = attrs.field(factory=lambda: defaultdict(dict))
    _texts: dict[str, str] = attrs.field(factory=dict)
    _mistakes: list[str] = attrs.field(factory=list)
    _open: int = 0

    # -- writing it down -----------------------------------------------------------------------

    def expect(self, user: str, channel: str) -> None:
        """Whatever is published to the user must reach this channel, too."""
        self._audience[user].append(channel)

    def send(self, user: str, order_key: str, **members: object) -> dict[str, object]:
        """A new publish item, noted as sent; its text names its id."""
        place = len(self._entries)
        entry = Entry(f"n{place}", user, order_key, place)
        self._entries[entry.id] = entry
        return chat(user, entry.id, id=entry.id, order_key=order_key, **members)

    def promise(self, answer: dict[str, object]) -> None:
        """One item's answer in a 202."""
        entry = self._entries[str(answer["id"])]
        channels = self._audience[entry.user]
        if answer != {"id": entry.id, "channels": len(channels), "status": "accepted"}:
            self._mistakes.append(f"{entry.id} was answered {answer}")
        self._promised[entry.id] = entry
        self._open += sum(entry.id not in self._arrivals[channel] for channel in channels)

    def arrive(self, channel: str, frame: str | bytes) -> None:
        """A notification has been received; for a webhook, answered 2xx."""
        text = frame if isinstance(frame, str) else frame.decode()
        id_ = id_of(text)
        if id_ not in self._entries or text_of(text) != id_:
            self._mistakes.append(f"{channel} got what nobody sent: {text}")
        if self._texts.setdefault(id_, text) != text:
            self._mistakes.append(f"{channel} got {id_} with another text: {text}")
        arrivals = self._arrivals[channel]
        if id_ not in arrivals and id_ in self._promised:
            self._open -= 1
        arrivals[id_] = arrivals.get(id_, 0) + 1

    # -- judging -------------------------------------------------------------------------------

    @property
    def promised(self) -> int:
        """How many notifications were answered 202."""
        return len(self._promised)

    @property
    def open(self) -> int:
        """How many promised deliveries have not arrived yet."""
        return self._open

    @property
    def duplicates(self) -> int:
        """How many arrivals were not the first of their id at their channel."""
        return sum(sum(ids.values()) - len(ids) for ids in self._arrivals.values())

    def missing(self) -> list[str]:
        """Promised deliveries that have not arrived."""
        return [
            f"{channel} misses {entry.id} ({entry.order_key})"
            for entry in self._promised.values()
            for channel in self._audience[entry.user]
            if entry.id not in self._arrivals[channel]
        ]

    def mistakes(self) -> list[str]:
        """Whatever must not have happened: strangers, changed texts, wrong users, wrong order."""
        return self._mistakes + [
            mistake
            for channel, ids in self._arrivals.items()
            for mistake in self._misplaced(channel, [self._entries[id_] for id_ in ids])
        ]

    def _misplaced(self, channel: str, firsts: Sequence[Entry]) -> list[str]:
        """What a channel got of others, and what overtook its order key; first arrivals only."""
        by_key: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in firsts:
            by_key[entry.order_key].append(entry)
        strangers = [entry for entry in firsts if channel not in self._audience[entry.user]]
        return [f"{channel} got {one.id} of {one.user}" for one in strangers] + [
            f"{channel} got {later.id} after {earlier.id} ({key})"
            for key, entries in by_key.items()
            for earlier, later in pairwise(entries)
            if later.place < earlier.place
        ]
