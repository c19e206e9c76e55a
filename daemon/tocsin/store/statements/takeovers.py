"""Abandoned channels make way for newer ones of the same client (channels.md, CH-45)."""

from collections import Counter
from collections.abc import Sequence

from tocsin.model.channel import ChannelType
from tocsin.store.interface import Ended, Takeover
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.accounts import remove_channel
from tocsin.store.statements.sql import Database


def take_over(db: Database, takeovers: Sequence[Takeover]) -> tuple[Ended, Counter[ChannelType]]:
    """Move what waits and end what is empty; what ended, and by how much the deliveries per
    type have changed by moving."""
    ended: Counter[ChannelType] = Counter()
    moved: Counter[ChannelType] = Counter()
    for one in takeovers:
        old = one.subscription.channel
        count = _move(db, one)
        moved[old.type] -= count
        moved[one.heir.type] += count
        db.execute("DELETE FROM subscription WHERE id = ?", (one.subscription.id,))
        if one.ends:
            ended.update(remove_channel(db, old.key).counts)
    return Ended(dict(ended), frozenset()), moved


def _move(db: Database, takeover: Takeover) -> int:
    """The heir gets them as if never written; what it has a leg of already stays behind."""
    old, heir = takeover.subscription.channel, takeover.heir
    db.execute(
        "UPDATE delivery SET channel = ?1, type = ?2, seq = NULL WHERE channel = ?3"
        " AND lane IS NULL AND EXISTS (SELECT 1 FROM notification AS n"
        f" WHERE n.key = delivery.id >> {LEG_BITS} AND n.service = ?4 AND n.accepted_at <= ?5)"
        " AND NOT EXISTS (SELECT 1 FROM delivery AS other WHERE other.channel = ?1"
        f" AND other.id BETWEEN (delivery.id >> {LEG_BITS}) << {LEG_BITS}"
        f" AND ((delivery.id >> {LEG_BITS}) << {LEG_BITS}) + {MAX_LEGS - 1})",
        (heir.key, heir.type.value, old.key, takeover.subscription.service, takeover.until),
    )
    return db.changes()
