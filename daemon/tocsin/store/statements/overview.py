"""What an operator asks about channels and lanes."""

from collections.abc import Sequence

from tocsin.model.channel import Channel, ChannelType
from tocsin.store import rows
from tocsin.store.archive import Page
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all
from tocsin.store.vault import PLAIN, Vault


def owners(db: Database, channel_ids: Sequence[str]) -> dict[str, str]:
    """The users of these channels."""
    found = db.execute(f"SELECT id, user FROM channel WHERE id {IN_LIST}", (as_json(channel_ids),))
    return dict(found)


def all_channels(
    db: Database,
    kind: ChannelType | None,
    *,
    before: int | None,
    limit: int,
    look: int,
    vault: Vault = PLAIN,
) -> Page[Channel]:
    """Channels below the key `before`, of one type or of all."""
    first, last = db.execute(
        "SELECT (SELECT min(key) FROM channel), (SELECT max(key) FROM channel)"
    ).get
    if last is None:
        return Page([], None)
    top = last + 1 if before is None else min(before, last + 1)
    bottom = max(top - look, first)
    found = fetch_all(
        db.execute(
            f"SELECT {rows.CHANNEL} FROM channel WHERE key >= ?1 AND key < ?2"
            " AND (?3 IS NULL OR type = ?3) ORDER BY key DESC LIMIT ?4",
            (bottom, top, None if kind is None else kind.value, limit),
        )
    )
    reached = found[-1][0] if len(found) == limit else bottom
    channels = [rows.channel_from(row, vault) for row in found]
    return Page(channels, reached if reached > first else None)


def lane_backlogs(db: Database, lanes: Sequence[str], *, most: int) -> dict[str, int]:
    """How many deliveries of each lane have a time."""
    found = db.execute(
        "SELECT value, (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE lane = value"
        " AND due_at IS NOT NULL LIMIT ?)) FROM json_each(?)",
        (most, as_json(lanes)),
    )
    return dict(found)
