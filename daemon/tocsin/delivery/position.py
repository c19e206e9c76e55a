"""How a client goes on from a position, and what it has missed (channels.md, CH-58; delivery.md).

The deliveries of a channel are numbered as they are first written to its client. While it counts
along it holds a position: it has everything up to there. So what it lacks at position `c` is

    every number beyond `c` whose delivery is not in the store any more    (receipted, expired)
    every delivery that ended before it was ever written                   (`dropped`)

which holds for any `c`, for as long as every number stands for a notification. Two things leave
numbers that stand for none: a process that died (nobody knows how many it gave, so the numbering
goes on behind its reservation), and a notification that was dropped unwritten (the client counts
what follows, so what is replayed must stand in one row). Both make a *gap*: what is still in the
store gets new numbers behind it. Of the time before the last gap this much is remembered:
`settled_seq`, up to which nothing was in the store, and `missed`, what else was lost. A client
from before the gap lacks `max(0, settled_seq - c) + missed` and what it lacks from the gap on.

The answer is exact for a client that comes back with the position it had. It may be too high,
never too low, for one that went back behind an earlier gap, for one that did so by asking without
a claim or coming back from a crash without asking, and after a crash for what expired between the
write and the next mark. So `recovered` is never said of one that lacks something.
"""

import attrs

from tocsin.model.channel import Channel
from tocsin.store.records import Position, Resumption

RESERVE = 1_000_000
"""Numbers reserved at a time while a client counts along; see `Channel.reserved`."""


@attrs.frozen
class Decision:
    """`base` is the position the client counts on from, `last_seq` the last number now given."""

    resumption: Resumption
    base: int
    last_seq: int
    missed: int


def decide(position: Position, *, last_seq: int, claim: int | None) -> Decision:
    """How a channel goes on whose last number is `last_seq`, beyond which there is no claim.

    `claim` None: the client holds no position of ours; it has missed nothing we know of, and
    nothing is settled.
    """
    gap = position.missed_at
    begin = max(claim or 0, gap)
    known = max(position.last_seq, begin)
    waiting = [id_ for id_, seq in position.written if seq > begin]
    first = next((seq for _, seq in position.written if seq > begin), known + 1)
    lost = known - (first - 1) - len(waiting) + position.dropped
    missed = 0
    if claim is not None:
        missed = _lacked_before_gap(position, claim) + first - 1 - begin + lost
    if not lost and last_seq == position.last_seq:
        return Decision(_settle(position, claim), first - 1, last_seq, missed)
    base = last_seq + position.dropped
    resumption = attrs.evolve(
        _settle(position, claim),
        renumbered=[(id_, seq) for seq, id_ in enumerate(waiting, base + 1)],
        dropped=position.dropped,
        missed_at=base,
        settled_seq=first - 1,
        missed=lost,
    )
    if _extends(position, claim, first):
        resumption = attrs.evolve(
            resumption,
            settled_seq=position.settled_seq,
            missed=position.missed + first - 1 - gap + lost,
        )
    return Decision(resumption, base, base + len(waiting), missed)


def reserve(channel: Channel) -> bool:
    """See that a channel whose client counts along has numbers to give; True: store it now."""
    if channel.reserved is None or channel.reserved - channel.last_seq >= RESERVE // 2:
        return False
    channel.reserved = channel.last_seq + RESERVE
    return True


def _settle(position: Position, claim: int | None) -> Resumption:
    """The client has what it claims; the last gap stays as it is."""
    return Resumption(
        settle_upto=claim or 0,
        settled_seq=position.settled_seq,
        missed=position.missed,
        missed_at=position.missed_at,
    )


def _lacked_before_gap(position: Position, claim: int) -> int:
    if claim >= position.missed_at:
        return 0
    return max(0, position.settled_seq - claim) + position.missed


def _extends(position: Position, claim: int | None, first: int) -> bool:
    """Whether a new gap adds to the last one: for a client that was not told of that yet, or
    where it makes no difference."""
    if claim is None:
        return not position.missed and first - 1 == position.missed_at
    return claim < position.missed_at
