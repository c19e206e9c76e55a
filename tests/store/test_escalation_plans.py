"""tocsin.store.statements.escalation: receipts do not walk what else is stored."""

from collections.abc import Callable

import apsw
import pytest

from tocsin.store.schema import open_database
from tocsin.store.statements.escalation import cancel, escalate, hold


@pytest.mark.parametrize(
    ("work", "found_by"),
    [
        (lambda db: cancel(db, [(1 << 16, 1)], 0), "SEARCH later USING INTEGER PRIMARY KEY"),
        (lambda db: escalate(db, [1], [2], 0), "SEARCH delivery USING INDEX delivery_held"),
        (lambda db: escalate(db, [1], [2], 0), "SEARCH first USING INTEGER PRIMARY KEY"),
        (lambda db: hold(db, [(1 << 16, 0, None)]), "SEARCH delivery USING INTEGER PRIMARY KEY"),
    ],
    ids=["cancel", "escalate", "waiting_for", "hold"],
)
def test_found_by_an_index(work: Callable[[apsw.Connection], object], found_by: str) -> None:
    """The legs beside the receipts, or those held in a few channels; with values that are known
    when it is planned as well."""
    db = open_database(":memory:")
    traced: list[tuple[str, object]] = []

    def note(_cursor: object, sql: str, bindings: object) -> bool:
        traced.append((sql, bindings))
        return True

    db.exec_trace = note
    work(db)
    db.exec_trace = None
    sql, bindings = traced[0]
    plans = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]  # type: ignore[arg-type]
    assert any(plan.startswith(found_by) for plan in plans), plans
    assert not any(plan.startswith(("SCAN later", "SCAN delivery", "SCAN first")) for plan in plans)
