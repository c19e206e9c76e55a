"""Notifications and their deliveries, on the way in."""

from collections.abc import Collection, Mapping, Sequence

import attrs

from tocsin.model.delivery import Delivery
from tocsin.model.notification import Priority
from tocsin.store import rows
from tocsin.store.records import NOTHING_TRIMMED, FirstPush, Identity, Submitted, Trimmed
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.accounts import check_subscriptions, open_channels
from tocsin.store.statements.bounds import NOTHING_ASIDE, Aside, Collapse, trim
from tocsin.store.statements.deadletters import take_up
from tocsin.store.statements.escalation import hold
from tocsin.store.statements.messaging.mailrows import MailRows
from tocsin.store.statements.messaging.posting import (
    NOTHING_POSTED,
    Delivered,
    find_repeats,
    post,
)
from tocsin.store.statements.pushes import Pushes, first_pushes
from tocsin.store.statements.sql import ACTIVE, IN_LIST, Database, as_json
from tocsin.store.statements.submissions import (
    IdentityRow,
    known_identities,
    remember_answer,
    remember_identities,
    repeats,
)


def next_keys(db: Database) -> tuple[int, int]:
    """The first unused notification and channel key."""
    notification, channel = db.execute(
        "SELECT max(coalesce((SELECT max(key) FROM notification), 0),"
        f" coalesce((SELECT max(id) FROM delivery), 0) >> {LEG_BITS},"
        f" coalesce((SELECT max(delivery) FROM dead_letter), 0) >> {LEG_BITS},"
        f" coalesce((SELECT max(delivery) FROM attempt), 0) >> {LEG_BITS},"
        f" coalesce((SELECT max(delivery) FROM push), 0) >> {LEG_BITS},"
        " coalesce((SELECT max(notification) FROM entry WHERE notification IS NOT NULL), 0)) + 1,"
        " coalesce((SELECT max(key) FROM channel), 0) + 1"
    ).get
    return int(notification), int(channel)


@attrs.frozen(eq=False)
class Numbered:
    """One acceptance as rows. `keys` are the notifications' keys by position; `identities` carry
    to how many channels each goes."""

    notifications: list[rows.Row]
    deliveries: list[rows.Row]
    keys: Sequence[int] = ()
    identities: Mapping[int, tuple[Identity, int]] = attrs.field(factory=dict)
    submitted: Submitted | None = None
    now: int = 0
    replays: Mapping[int, int] = attrs.field(factory=dict)
    collapsing: Sequence[Collapse] = ()
    crowded: Collection[int] = ()
    bounds: tuple[int, int] = (0, 0)
    held: Sequence[rows.Row] = ()
    aside: Aside = NOTHING_ASIDE
    withdrawing: Sequence[int] = ()
    opening: Sequence[rows.Row] = ()
    pushes: Pushes = attrs.field(factory=dict)
    premises: Mapping[str, bool] = attrs.field(factory=dict)
    mail: MailRows | None = None


@attrs.frozen(eq=False)
class Inserted:
    """What became of a request, as `Acceptance` has it, and how many rows it has added per table
    of `REMEMBERED`; what became of its mail."""

    repeats: Mapping[int, int]
    trimmed: Trimmed
    firsts: Mapping[int, FirstPush]
    opened: Collection[int]
    remembered: Mapping[str, int]
    mail: Delivered = NOTHING_POSTED


def insert(db: Database, accepted: Sequence[Numbered]) -> Sequence[Inserted]:
    """Insert notifications and their deliveries, of several requests at once, and put those that
    have to wait behind an earlier one of their order key."""
    if premises := [pair for one in accepted for pair in one.premises.items()]:
        check_subscriptions(db, premises)
    found = _sort_out(db, accepted)
    for one, again in zip(accepted, found, strict=True):
        if one.replays:
            there = take_up(db, one.replays.values())
            again |= {p: 0 for p, letter in one.replays.items() if letter not in there}
    firsts, added = first_pushes(db, [(one.pushes, one.now) for one in accepted])
    gone = {
        one.keys[p]
        for one, again, first in zip(accepted, found, firsts, strict=True)
        for p in (*again, *first)
    }
    mails = [one.mail for one in accepted]
    resent = find_repeats(db, mails)
    for one, repeat in zip(accepted, resent, strict=True):
        if repeat is not None:
            gone |= set(one.keys)
    opening = [row for one in accepted for row in one.opening]
    opened = open_channels(db, opening) if opening else frozenset()
    notifications = [row for one in accepted for row in one.notifications]
    deliveries = [row for one in accepted for row in one.deliveries]
    if gone:
        notifications = [row for row in notifications if row[0] not in gone]
        deliveries = [row for row in deliveries if row[0] >> LEG_BITS not in gone]
    _insert(db, notifications, deliveries)
    if held := [row for one in accepted for row in one.held]:
        hold(db, held)
    trimmed = _trim(db, accepted, gone)
    delivered = post(db, mails, resent)
    inserted = []
    for number, one in enumerate(accepted):
        again = found[number]
        answered = one.submitted is not None and remember_answer(db, one.submitted, again)
        remembered = {
            "identity": len(one.identities.keys() - again.keys()),
            "submission": int(answered),
            "push": added[number],
        }
        # What two requests open together, one of them is told.
        mine = opened & {row[0] for row in one.opening}
        opened -= mine
        inserted.append(
            Inserted(again, trimmed[number], firsts[number], mine, remembered, delivered[number])
        )
    return inserted


def _trim(db: Database, accepted: Sequence[Numbered], repeated: Collection[int]) -> list[Trimmed]:
    """All at once; the first of the requests it is about gets to count it. Nothing makes way for
    a repeat, given by its notification's key: what is newer is there already."""
    about = [one for one in accepted if one.collapsing or one.crowded or one.withdrawing]
    if not about:
        return [NOTHING_TRIMMED] * len(accepted)
    trimmed = trim(
        db,
        [
            collapse
            for one in about
            for collapse in one.collapsing
            if collapse[2] >> LEG_BITS not in repeated
        ],
        [key for one in about for key in one.crowded],
        withdrawing=[id_ for one in about for id_ in one.withdrawing],
        aside=[one.aside for one in about],
        bounds=about[0].bounds,
        now=about[0].now,
    )
    rest = attrs.evolve(trimmed, ended={}, pushes={})
    return [trimmed if one is about[0] else rest for one in accepted]


def _sort_out(db: Database, accepted: Sequence[Numbered]) -> list[dict[int, int]]:
    """Find the repeats of each request, those within and among these requests too, and remember
    the identities that are new."""
    keys = [identity.key for one in accepted for identity, _ in one.identities.values()]
    if not keys:
        return [{} for _ in accepted]
    known = known_identities(db, keys)
    fresh: list[IdentityRow] = []
    found: list[dict[int, int]] = []
    for one in accepted:
        again: dict[int, int] = {}
        for position, (identity, channels) in one.identities.items():
            again |= repeats(known, {position: identity})
            if position not in again:
                row = (identity.key, identity.proof, identity.subject, channels, one.now)
                known[identity.key] = row
                fresh.append(row)
        found.append(again)
    remember_identities(db, fresh)
    return found


def _insert(db: Database, notifications: list[rows.Row], deliveries: list[rows.Row]) -> None:
    head = f"INSERT INTO notification(key, {rows.NOTIFICATION}) VALUES"
    for sql, values in rows.in_chunks(head, 13, notifications):
        db.execute(sql, values)
    head = (
        "INSERT INTO delivery(id, channel, type, priority, lane, order_key, due_at, collapse_key,"
        " size) VALUES"
    )
    for sql, values in rows.in_chunks(head, 9, deliveries):
        db.execute(sql, values)
    _inherit_priority(db, notifications, deliveries)
    with_lane = [row[0] for row in deliveries if row[4] is not None]
    if with_lane:
        db.execute(
            f"UPDATE delivery SET due_at = NULL WHERE id {IN_LIST}"
            " AND (EXISTS (SELECT 1 FROM delivery AS earlier WHERE earlier.lane IS NOT NULL"
            " AND earlier.channel = delivery.channel"
            " AND earlier.order_key = delivery.order_key AND earlier.id < delivery.id)"
            f" OR NOT {ACTIVE})",
            (as_json(with_lane),),
        )


def _inherit_priority(
    db: Database, notifications: Sequence[rows.Row], deliveries: Sequence[rows.Row]
) -> None:
    """Let what waits for a client go before a more urgent one of its own order key: raised to
    the same priority, it is the older of the two."""
    order_keys = {row[0]: row[9] for row in notifications}
    raising = [
        (row[1], row[3], row[0], order_keys[row[0] >> LEG_BITS])
        for row in deliveries
        if row[4] is None and row[3] < Priority.LOW
    ]
    if raising:
        db.execute(
            "UPDATE delivery SET priority = value ->> 1 FROM json_each(?)"
            " WHERE delivery.channel = value ->> 0 AND delivery.lane IS NULL"
            " AND delivery.priority > value ->> 1 AND delivery.id < value ->> 2"
            " AND delivery.seq IS NULL AND value ->> 3 = (SELECT order_key FROM notification"
            f" WHERE notification.key = delivery.id >> {LEG_BITS})",
            (as_json(raising),),
        )


def delivery_row(delivery: Delivery) -> rows.Row:
    """A new delivery: due at once where it has a lane, else waiting for its client."""
    channel, notification = delivery.channel, delivery.notification
    lane = channel.lane
    return (
        delivery.id,
        channel.key,
        channel.type.value,
        int(notification.priority),
        lane,
        notification.order_key if lane is not None else None,
        notification.accepted_at if lane is not None else None,
        notification.collapse_key,
        len(notification.body),
    )
