"""Deliveries with lanes: found when due, claimed, settled."""

from collections import defaultdict

from tocsin.model.channel import ChannelType
from tocsin.model.notification import Priority
from tocsin.store import rows
from tocsin.store.records import Claim, Claimed, Lane, Settled, Settlements
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.accounts import mark_failing, mark_held
from tocsin.store.statements.deadletters import bury
from tocsin.store.statements.deliverylog import log_attempts
from tocsin.store.statements.pushes import note_results
from tocsin.store.statements.sql import (
    ACTIVE,
    DUE,
    IN_LIST,
    Database,
    as_json,
    fetch_all,
    forget_notifications,
    promote,
)


def lanes(db: Database) -> list[Lane]:
    """Every lane that has work, by hopping from one to the next in the index."""
    found = fetch_all(
        db.execute(
            "WITH RECURSIVE hop(lane) AS ("
            " SELECT min(lane) FROM delivery WHERE due_at IS NOT NULL"
            " UNION ALL"
            " SELECT (SELECT min(lane) FROM delivery WHERE lane > hop.lane AND due_at IS NOT NULL)"
            " FROM hop WHERE hop.lane IS NOT NULL)"
            " SELECT lane FROM hop WHERE lane IS NOT NULL"
        )
    )
    due = [(name, *_next_due(db, name)) for (name,) in found]
    return [Lane(name, due_at, urgent_at) for name, due_at, urgent_at in due if due_at is not None]


def _next_due(db: Database, lane: str) -> tuple[int | None, int | None]:
    """When the first delivery of a lane is due, and the first urgent one."""
    due: list[int | None] = [
        db.execute(
            "SELECT min(due_at) FROM delivery WHERE lane = ? AND priority = ?"
            " AND due_at IS NOT NULL",
            (lane, priority),
        ).get
        for priority in rows.PRIORITIES
    ]
    return min((at for at in due if at is not None), default=None), due[Priority.URGENT]


def claim(
    db: Database, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
) -> Claim:
    """Take due deliveries of a lane, urgent first, and count their attempts: `limit` of any
    priority, and `urgent` more of the urgent ones."""
    claimed: list[Claimed] = []
    for priority in rows.PRIORITIES:
        most = limit if priority else limit + urgent
        if len(claimed) >= most:
            break
        found = db.execute(
            "SELECT d.id, d.channel, c.id, c.user, d.attempts + 1, d.unanswered,"
            f" d.not_before IS NOT NULL, {rows.NOTIFICATION_OF_N} FROM delivery AS d"
            f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
            " JOIN channel AS c ON c.key = d.channel"
            " WHERE d.lane = ? AND d.priority = ? AND d.due_at <= ?"
            " ORDER BY d.due_at, d.id LIMIT ?",
            (lane, int(priority), now, most - len(claimed)),
        )
        for id_, key, channel_id, owner, attempts, unanswered, was_held, *rest in found:
            notification = rows.notification_from(tuple(rest))
            claimed.append(
                Claimed(
                    *(id_, key, channel_id, owner, notification, attempts, unanswered),
                    bool(was_held),
                )
            )
    if claimed:
        db.execute(
            "UPDATE delivery SET attempts = attempts + 1, due_at = NULL, claimed = ?"
            f" WHERE id {IN_LIST}",
            (provisional, as_json(one.id for one in claimed)),
        )
    return Claim(claimed, *_next_due(db, lane))


def release_claims(db: Database, kind: ChannelType, now: int) -> None:
    """Make due what is claimed of a type of channel."""
    db.execute(
        f"UPDATE delivery SET due_at = iif({ACTIVE}, {DUE}, NULL), claimed = NULL"
        " WHERE claimed IS NOT NULL AND type = ?2",
        (now, kind.value),
    )


def hasten(db: Database, lane: str, now: int) -> None:
    """Make due what waits in a lane for its next attempt; what waits for a receipt does so on."""
    db.execute(f"UPDATE delivery SET due_at = {DUE} WHERE lane = ?2 AND due_at > ?1", (now, lane))


def settle(db: Database, settlements: Settlements, *, now: int) -> Settled:
    """Write what became of attempts; promote the deliveries that waited behind finished ones."""
    over = settlements.finished + [letter.id for letter in settlements.dead]
    if settlements.dead:
        bury(db, settlements.dead)
    if settlements.attempts:
        log_attempts(db, settlements.attempts)
    gone = fetch_all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, lane, channel, order_key",
            (as_json(over),),
        )
    )
    forget_notifications(db, [row[0] for row in gone])
    promote(db, {(row[3], row[4]) for row in gone}, now)
    touched = {row[2] for row in gone if row[2] is not None}
    touched |= _reschedule(db, settlements)
    if settlements.pushes:
        note_results(db, settlements.pushes)
    if settlements.failing:
        mark_failing(db, settlements.failing)
    if settlements.held:
        mark_held(db, settlements.held)
    ended: dict[ChannelType, int] = defaultdict(int)
    for row in gone:
        ended[ChannelType(row[1])] += 1
    due = {lane: _next_due(db, lane) for lane in touched}
    return Settled(
        ended,
        {lane: due_at for lane, (due_at, _) in due.items()},
        {lane: urgent_at for lane, (_, urgent_at) in due.items() if urgent_at is not None},
    )


def _reschedule(db: Database, settlements: Settlements) -> set[str]:
    if not settlements.rescheduled:
        return set()
    again = as_json(
        (one.id, one.due_at, one.attempts, one.unanswered) for one in settlements.rescheduled
    )
    found = db.execute(
        "UPDATE delivery SET claimed = NULL, attempts = value ->> 2, unanswered = value ->> 3,"
        f" due_at = iif({ACTIVE}, value ->> 1, NULL)"
        " FROM json_each(?) WHERE delivery.id = value ->> 0 RETURNING lane",
        (again,),
    )
    return {lane for (lane,) in found if lane is not None}
