"""Abandoned channels make way for newer ones of the same client (channels.md, CH-45)."""

from collections import Counter
from collections.abc import Sequence

from tocsin.model.channel import ChannelType
from tocsin.store.records import Ended, Takeover
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.accounts import remove_channel
from tocsin.store.statements.positions import count_dropped
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all


def take_over(db: Database, takeovers: Sequence[Takeover]) -> tuple[Ended, Counter[ChannelType]]:
    """Move what waits and end what is empty; what ended, and by how much the deliveries per
    type have changed by moving."""
    counts: Counter[ChannelType] = Counter()
    moved: Counter[ChannelType] = Counter()
    channels: dict[int, ChannelType] = {}
    services: Counter[str] = Counter()
    for one in takeovers:
        old = one.subscription.channel
        count = _move(db, one)
        moved[old.type] -= count
        moved[one.heir.type] += count
        services.update(_drop_subscription(db, one.subscription.id))
        if one.ends and not _is_subscribed(db, old.key):
            ended = remove_channel(db, old.key)
            counts.update(ended.counts)
            channels |= ended.channels
    for key in {one.heir.key for one in takeovers}:
        _restore_order(db, key)
    return Ended(dict(counts), frozenset(), channels, dict(services)), moved


def _move(db: Database, takeover: Takeover) -> int:
    """The heir gets them as if never written; what it has a leg of already stays behind. Should
    the old client come back, it lacks what moved, written or not."""
    subscription, heir = takeover.subscription, takeover.heir
    old = subscription.channel
    found = fetch_all(
        db.execute(
            "SELECT delivery.id, delivery.seq FROM delivery JOIN notification AS n"
            f" ON n.key = delivery.id >> {LEG_BITS} WHERE delivery.channel = ?1"
            " AND delivery.lane IS NULL AND n.user = ?2 AND n.service = ?3 AND n.accepted_at <= ?4"
            " AND NOT EXISTS (SELECT 1 FROM delivery AS other WHERE other.channel = ?5"
            f" AND other.id BETWEEN (delivery.id >> {LEG_BITS}) << {LEG_BITS}"
            f" AND ((delivery.id >> {LEG_BITS}) << {LEG_BITS}) + {MAX_LEGS - 1})",
            (old.key, subscription.user, subscription.service, takeover.until, heir.key),
        )
    )
    db.execute(
        f"UPDATE delivery SET channel = ?, type = ?, seq = NULL WHERE id {IN_LIST}",
        (heir.key, heir.type.value, as_json(id_ for id_, _ in found)),
    )
    count_dropped(db, [old.key for _, seq in found if seq is None])
    return len(found)


def _drop_subscription(db: Database, id_: str) -> list[str]:
    gone = db.execute("DELETE FROM subscription WHERE id = ? RETURNING service", (id_,))
    return [service for (service,) in gone]


def _is_subscribed(db: Database, channel_key: int) -> bool:
    found = db.execute("SELECT 1 FROM subscription WHERE channel = ? LIMIT 1", (channel_key,))
    return found.fetchone() is not None


def _restore_order(db: Database, channel_key: int) -> None:
    """What was written to the one client was never raised to the priority of what came later
    with its order key (see `intake`); for the other it must be, or that would overtake it."""
    found = fetch_all(
        db.execute(
            "SELECT d.id, d.priority, n.order_key FROM delivery AS d"
            f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
            " WHERE d.channel = ? AND d.lane IS NULL AND d.seq IS NULL ORDER BY d.id DESC",
            (channel_key,),
        )
    )
    highest: dict[str, int] = {}
    raised: list[tuple[int, int]] = []
    for id_, priority, order_key in found:
        highest[order_key] = min(priority, highest.get(order_key, priority))
        if highest[order_key] < priority:
            raised.append((id_, highest[order_key]))
    db.execute(
        "UPDATE delivery SET priority = value ->> 1 FROM json_each(?)"
        " WHERE delivery.id = value ->> 0",
        (as_json(raised),),
    )
