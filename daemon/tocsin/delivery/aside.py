"""What a queue holds in memory, offered to newer deliveries that may replace it (delivery.md).

A claimed delivery that no worker has begun is undelivered like any other: a newer one of its
collapse key replaces it, overflow may drop it, a caller may withdraw it. But the store cannot know
which of the claimed ones have begun. So before an acceptance is stored, what it may replace is
set aside: no attempt begins, the store may remove it, and what it did not remove is held again
right after the commit, or its failure. What is just being claimed is looked through on arrival.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from tocsin.delivery.lane import Lane
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Priority
from tocsin.store.records import Acceptance, Claimed


class Aside:
    """What is set aside of one queue's lanes, and where it came from."""

    def __init__(
        self,
        kind: ChannelType,
        lanes: Callable[[], Mapping[str, Lane]],
        hold: Callable[[str, Claimed], None],
    ) -> None:
        """`hold(lane, claimed)` takes back what is still to be delivered."""
        self._kind = kind
        self._lanes = lanes
        self._hold = hold
        self._from: dict[int, str] = {}
        self._undecided: list[Acceptance] = []
        self._during: dict[str, list[Acceptance]] = {}

    def set_aside(self, acceptance: Acceptance) -> None:
        """See `bounds.Holder`."""
        for newer in acceptance.collapsing:
            lane = self._concerned(newer.channel, acceptance)
            if lane is not None:
                self._move(lane, _of_key(lane, newer), acceptance)
        if acceptance.crowded:
            self._offer_oldest(acceptance)
        if acceptance.withdrawing and self._kind is ChannelType.OMAPUSH:
            for lane in self._lanes().values():
                self._note_claim(lane, acceptance)
                self._move(lane, acceptance.withdrawing, acceptance)
        if acceptance.claiming:
            self._undecided.append(acceptance)

    def made_way(self, acceptance: Acceptance) -> None:
        """See `bounds.Holder`. What was forgotten since is no longer this queue's."""
        if acceptance in self._undecided:
            self._undecided.remove(acceptance)
        gone = acceptance.trimmed.ids
        for one in acceptance.aside:
            lane = self._from.pop(one.id, None)
            if lane is not None and one.id not in gone:
                self._hold(lane, one)

    def sift(self, lane: Lane, claimed: list[Claimed]) -> list[Claimed]:
        """What a claim has brought, without what made way meanwhile, or still may."""
        for acceptance in self._during.pop(lane.name, ()):
            claimed = [one for one in claimed if one.id not in acceptance.trimmed.ids]
            if acceptance in self._undecided:
                waiting = [one for one in claimed if _concerns(acceptance, one)]
                claimed = [one for one in claimed if not _concerns(acceptance, one)]
                self._from.update((one.id, lane.name) for one in waiting)
                acceptance.aside += waiting
        return claimed

    def forget(self) -> None:
        """All claims have been given up: nothing is to be taken back."""
        self._from.clear()
        self._during.clear()

    def _offer_oldest(self, acceptance: Acceptance) -> None:
        """Of each crowded channel what may go first, as much as comes in: it had room for the
        rest before."""
        count: Counter[int] = Counter()
        size: Counter[int] = Counter()
        for legs in acceptance.deliveries:
            for leg in legs:
                if leg.channel.key in acceptance.crowded:
                    count[leg.channel.key] += 1
                    size[leg.channel.key] += len(leg.notification.body)
        for key, channel in acceptance.crowded.items():
            lane = self._concerned(channel, acceptance)
            if lane is not None:
                self._move(lane, _oldest(lane, channel, count[key], size[key]), acceptance)

    def _concerned(self, channel: Channel, acceptance: Acceptance) -> Lane | None:
        lane = None if channel.lane is None else self._lanes().get(channel.lane)
        if lane is not None:
            self._note_claim(lane, acceptance)
        return lane

    def _note_claim(self, lane: Lane, acceptance: Acceptance) -> None:
        if lane.claiming and lane.name not in acceptance.claiming:
            acceptance.claiming[lane.name] = lane.mark
            self._during.setdefault(lane.name, []).append(acceptance)

    def _move(self, lane: Lane, ids: Iterable[int], acceptance: Acceptance) -> None:
        for one in lane.hold.pick(ids):
            self._from[one.id] = lane.name
            acceptance.aside.append(one)


def _of_key(lane: Lane, newer: Delivery) -> list[int]:
    """What a newer delivery replaces."""
    channel, key = newer.channel.key, newer.notification.collapse_key
    return [
        one.id
        for one in lane.hold
        if one.channel_key == channel and one.notification.collapse_key == key
    ]


def _concerns(acceptance: Acceptance, one: Claimed) -> bool:
    """It may make way for this."""
    if one.channel_key in acceptance.crowded or one.id in acceptance.withdrawing:
        return True
    key = one.notification.collapse_key
    return key is not None and any(
        newer.channel.key == one.channel_key and newer.notification.collapse_key == key
        for newer in acceptance.collapsing
    )


def _oldest(lane: Lane, channel: Channel, count: int, size: int) -> list[int]:
    """The oldest low ones, then the oldest: at least so many, and so many bytes."""
    held = sorted(
        (one for one in lane.hold if one.channel_key == channel.key),
        key=lambda one: (one.notification.priority is not Priority.LOW, one.id),
    )
    found: list[int] = []
    for one in held:
        if count <= 0 and size <= 0:
            break
        found.append(one.id)
        count -= 1
        size -= len(one.notification.body)
    return found
