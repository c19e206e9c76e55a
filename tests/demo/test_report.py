"""tocsin.demo.report and tocsin.demo.screen: what a demo says in the end (OP-2)."""

import io
from typing import Any

import orjson
import pytest
from rich.console import Console

from tocsin.demo.ledger import Expected, Ledger
from tocsin.demo.report import Report
from tocsin.demo.screen import Screen

ATTEMPT = {"notification": "n1", "receiver": "webhook", "number": 1, "at": 100_500}
FAILED = {**ATTEMPT, "result": "deferred", "reason": "connect", "latency_ms": 3}
DONE = {**ATTEMPT, "number": 2, "result": "delivered", "status": 200, "latency_ms": 7}


def told(*arrivals: str, ends: str = "plain") -> tuple[str, Report]:
    """What is shown of two events at the webhook of which these came, and the report."""
    ledger = Ledger()
    is_terminal = ends == "terminal"
    console = Console(
        file=io.StringIO(), force_terminal=is_terminal, width=80, quiet=ends == "quiet"
    )
    screen = Screen(console, ledger, 0.0, begun=100.0)
    ledger.on_arrival = screen.arrived
    with screen.live():
        for id_ in ("n1", "n2"):
            ledger.expect(Expected("webhook", id_, "k", "chat", f"[b]text of {id_}", 100.0))
        for id_ in arrivals:
            ledger.arrived("webhook", id_, 100.5)
    report = Report.of(ledger, [FAILED, DONE], 1.5)
    screen.finish(report)
    file: Any = console.file
    return file.getvalue(), report


def test_good() -> None:
    """With everything there, in order: each arrival, the log, the account and the verdict."""
    shown, report = told("n1", "n2")
    assert report.is_good
    assert report.complaints == []
    assert "0.50 s  webhook  chat      [b]text of n1" in shown
    assert "500 ms" in shown
    assert "0.50 s [b]text of n1 webhook   1 deferred  -      connect  3" in shown
    assert "0.50 s [b]text of n1 webhook   2 delivered 200    -        7" in shown
    assert "All 2 arrived, in order, within 1.5 s." in shown


@pytest.mark.parametrize(
    ("arrivals", "complaint"),
    [
        (["n1"], "webhook: missing: [b]text of n2 (n2)"),
        (["n2", "n1"], "webhook: out of order: [b]text of n1 (n1)"),
        (["n1", "n2", "n3"], "webhook: not expected: n3 (n3)"),
    ],
)
def test_bad(arrivals: list[str], complaint: str) -> None:
    """What is wrong is said, and it is no success."""
    shown, report = told(*arrivals)
    assert not report.is_good
    assert report.complaints == [complaint]
    assert complaint in shown
    assert f"{len({*arrivals} - {'n3'})} of 2 arrived within 1.5 s." in shown


def test_a_repeat_is_shown() -> None:
    """What comes again is marked, and good all the same."""
    shown, report = told("n1", "n2", "n1")
    assert shown.count("(again)") == 1
    assert report.is_good


def test_nothing_is_no_success() -> None:
    """A demo in which nothing was expected has shown nothing."""
    assert not Report.of(Ledger(), [], 0.0).is_good


def test_on_a_terminal() -> None:
    """There the account is drawn beneath the lines as they come; elsewhere nothing is drawn twice
    and there are no control characters."""
    shown, _ = told("n1", "n2", ends="terminal")
    assert shown.count("expected") > 1
    assert "\x1b[" in shown
    plain, _ = told("n1", "n2")
    assert plain.count("expected") == 1
    assert "\x1b" not in plain


def test_for_machines() -> None:
    """`as_json` has the account and the log, and a quiet screen says nothing."""
    shown, report = told("n1", ends="quiet")
    assert shown == ""
    said = orjson.loads(orjson.dumps(report.as_json()))
    assert (said["ok"], said["seconds"], said["deliveries"]) == (False, 1.5, [FAILED, DONE])
    [receiver] = said["receivers"]
    assert (receiver["expected"], receiver["arrived"], receiver["missing"]) == (2, 1, ["n2"])
