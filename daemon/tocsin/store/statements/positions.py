"""Positions of clients that come to us: how far they are, and what they missed."""

from collections.abc import Sequence

from tocsin.model.channel import ChannelType
from tocsin.store.records import Position, Resumption
from tocsin.store.statements.sockets import Receipted, finish_polled, write_places
from tocsin.store.statements.sql import Database, as_json, fetch_all


def read_position(db: Database, channel_key: int) -> Position:
    """What is known of a channel's numbering."""
    written = fetch_all(
        db.execute(
            "SELECT id, seq FROM delivery WHERE channel = ? AND seq IS NOT NULL ORDER BY seq",
            (channel_key,),
        )
    )
    counters = db.execute(
        "SELECT last_seq, settled_seq, dropped, missed, missed_at FROM channel WHERE key = ?",
        (channel_key,),
    ).fetchone()
    places = [(int(id_), int(seq)) for id_, seq in written]
    return Position(places, *counters) if counters is not None else Position(places)


def resume(
    db: Database,
    channel_key: int,
    last_seq: int,
    reserved: int | None,
    resumption: Resumption,
    *,
    now: int,
    most_entries: int,
) -> Receipted:
    """Go on from a position; the deliveries that the client turned out to have."""
    settled = [
        id_
        for (id_,) in db.execute(
            "SELECT id FROM delivery WHERE channel = ? AND seq <= ?",
            (channel_key, resumption.settle_upto),
        )
    ]
    receipted = Receipted()
    if settled:
        receipted = finish_polled(db, settled, now, most_entries=most_entries)
    db.execute(
        "UPDATE channel SET last_seq = max(last_seq, ?), reserved = ?, settled_seq = ?,"
        " dropped = dropped - ?, missed = ?, missed_at = ? WHERE key = ?",
        (
            last_seq,
            reserved,
            resumption.settled_seq,
            resumption.dropped,
            resumption.missed,
            resumption.missed_at,
            channel_key,
        ),
    )
    write_places(db, resumption.renumbered)
    return receipted


def pass_over(db: Database, numbers: int) -> None:
    """So many numbers are given to nobody, in every channel whose client has positions: counts
    along on its socket, or polls."""
    db.execute(
        "UPDATE channel SET reserved = max(reserved, last_seq) + ? WHERE reserved IS NOT NULL",
        (numbers,),
    )
    db.execute(
        "UPDATE channel SET last_seq = last_seq + ? WHERE type = ?",
        (numbers, ChannelType.LONG_POLLING.value),
    )


def settle_upto(db: Database, places: Sequence[tuple[int, int]]) -> None:
    """Note that channels gave numbers up to these, given as (channel key, seq)."""
    db.execute(
        "UPDATE channel SET last_seq = max(last_seq, value ->> 1) FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (as_json(places),),
    )


def count_dropped(db: Database, channel_keys: Sequence[int]) -> None:
    """One more delivery of each of these channels ended without ever being written; counted
    where the client is told positions."""
    if channel_keys:
        db.execute(
            "UPDATE channel SET dropped = dropped + found.count FROM"
            " (SELECT value AS key, count(*) AS count FROM json_each(?) GROUP BY value) AS found"
            " WHERE channel.key = found.key AND channel.reserved IS NOT NULL",
            (as_json(channel_keys),),
        )
