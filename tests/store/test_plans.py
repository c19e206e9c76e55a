"""tocsin.store.statements: what runs again and again finds its rows by an index."""

from collections.abc import Callable

import apsw
import pytest
from tests.fakes.deliveries import device_channel

from tocsin.model.channel import ChannelType
from tocsin.store import statements
from tocsin.store.archive import LogQuery
from tocsin.store.records import PushIdentity, Removal
from tocsin.store.rows import channel_row
from tocsin.store.schema import open_database
from tocsin.store.statements.accounts import open_channels
from tocsin.store.statements.bounds import trim
from tocsin.store.statements.pushes import first_pushes, note_results, take_back_results

# Counting everything is for the start; `hop`, `found` and lists given as JSON are no tables.
TABLES = (
    *("channel", "subscription", "notification", "delivery", "dead_letter", "attempt"),
    *("identity", "submission", "push", "removed", "memo"),
)
REMOVAL = Removal(0, 1)


def plans(work: Callable[[apsw.Connection], object]) -> list[str]:
    """How SQLite goes about the statements of a piece of work."""
    db = open_database(":memory:")
    traced: list[tuple[str, object]] = []

    def note(_cursor: object, sql: str, bindings: object) -> bool:
        traced.append((sql, bindings))
        return True

    db.exec_trace = note
    work(db)
    db.exec_trace = None
    return [
        str(row[3])
        for sql, bindings in traced
        for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    "work",
    [
        lambda db: statements.read_log(db, LogQuery(user="u"), before=None, limit=9, look=99),
        lambda db: statements.all_channels(db, None, before=None, limit=9, look=99),
        statements.next_keys,
        statements.lanes,
        lambda db: statements.expire_deliveries(db, 0, 9, []),
        lambda db: statements.expired_channels(db, 0, 9),
        lambda db: statements.expired_subscriptions(db, 0, 9),
        lambda db: statements.forget(db, "push", 0, excess=9, limit=99),
        lambda db: statements.forget(db, "removed", 0, excess=9, limit=99),
        lambda db: statements.unused_channels(db, ChannelType.OMAPUSH, 0, 9),
        lambda db: statements.remove_devices(db, [1], REMOVAL),
        lambda db: statements.removed_devices(db, "a", 0, guarded_only=True, after=0, limit=9),
        lambda db: statements.recall(db, "kind"),
        lambda db: note_results(db, [(1, "gone")]),
        lambda db: take_back_results(db, [1]),
        lambda db: first_pushes(db, [({0: (PushIdentity(1, 2), 3)}, 0)]),
        lambda db: open_channels(db, [channel_row(device_channel())]),
        lambda db: statements.remove_channel(db, 1),
        lambda db: statements.find_calls(db, ["call x"]),
        lambda db: statements.read_position(db, 1),
        lambda db: statements.waiting(db, 1, now=0, after=0, limit=9),
    ],
    ids=[
        *("read_log", "all_channels", "next_keys", "lanes", "expire_deliveries"),
        *("expired_channels", "expired_subscriptions", "forget_push", "forget_removed"),
        *("unused_channels", "remove_devices", "removed_devices", "recall", "note_results"),
        *("take_back_results", "first_pushes", "open_channels", "remove_channel", "find_calls"),
        *("read_position", "waiting"),
    ],
)
def test_no_table_is_walked(work: Callable[[apsw.Connection], object]) -> None:
    """Its cost does not grow with what else is stored: the writer serves everybody."""
    found = plans(work)
    assert found
    walked = [plan for plan in found if plan.startswith(tuple(f"SCAN {name}" for name in TABLES))]
    assert not walked


def test_what_makes_way_is_found_in_order() -> None:
    """A full channel is counted by its indexes, and nothing is sorted to find its oldest: it costs
    each of its commits little, however much it holds (delivery.md)."""
    found = plans(lambda db: trim(db, [], [1], aside=[], bounds=(-1, 0), now=0))
    reads = [plan for plan in found if plan.startswith("SEARCH delivery")]
    # The low, then two kinds of others that are merged, on either side.
    assert [plan.partition("(")[2] for plan in reads] == [
        *["channel=?)"] * 2,
        *["channel=? AND priority=?)"] * 6,
    ]
    assert all("delivery_waiting" in plan or "delivery_age" in plan for plan in reads)
    assert not [plan for plan in found if "TEMP B-TREE" in plan]
