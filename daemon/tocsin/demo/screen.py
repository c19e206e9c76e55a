"""What a demo shows: acts and arrivals as they come, where everybody stands, and the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin.demo.ledger import Arrival, Balance, Ledger
from tocsin.demo.report import Report

STYLES = {"socket": "cyan", "webhook": "magenta", "phone": "green"}
OTHERS = "yellow"
LOG = ("at", "event", "to", "no.", "result", "status", "reason", "ms")
NUMBERS = frozenset({"at", "no.", "ms"})


@attrs.define(eq=False)
class Screen:
    """Plain lines where the console is no terminal. Times are seconds since it was made."""

    console: Console
    ledger: Ledger
    pause: float
    begun: float = attrs.field(factory=time.time)
    _live: Live | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Below all lines, a table of who has how many events, until the end of the block."""
        if self.console.quiet or not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    async def act(self, text: str) -> None:
        """Something begins, a `pause` from now: there has to be time to read the last."""
        await trio.sleep(self.pause)
        self.console.print()
        self._line(Text(text, style="bold"))

    def arrived(self, arrival: Arrival) -> None:
        """An event is where it should be."""
        expected = self.ledger.find(arrival.receiver, arrival.id)
        service = expected.service if expected else "message"
        text = expected.text if expected else arrival.text or arrival.id
        took = f"{(arrival.at - expected.at) * 1000:6.0f} ms" if expected else ""
        again = "  (again)" if arrival.number > 1 else ""
        line = Text(f"{arrival.at - self.begun:7.2f} s  ")
        line.append(f"{arrival.receiver:<8} ", style=STYLES.get(arrival.receiver, OTHERS))
        line.append(f"{service:<9} {text:<34} {took}{again}".rstrip())
        self._line(line)

    def finish(self, report: Report) -> None:
        """The delivery log, the account, and the verdict."""
        self.console.print()
        self.console.print(_log(report, self.begun))
        self.console.print()
        self.console.print(_account(report.balances, self._box))
        for complaint in report.complaints:
            self.console.print(Text(complaint, style="red"), soft_wrap=True)
        self.console.print()
        self.console.print(_verdict(report))

    @property
    def _box(self) -> box.Box | None:
        return box.SIMPLE_HEAD if self.console.is_terminal else None

    def _line(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True)
        if self._live is not None:
            self._live.update(_account(self.ledger.balances(), self._box), refresh=True)


def _account(balances: list[Balance], frame: box.Box | None) -> Table:
    table = Table("receiver", box=frame, title_justify="left")
    for name in ("expected", "arrived", "repeated", "missing", "out of order"):
        table.add_column(name, justify="right")
    for one in balances:
        counts = (one.expected, one.arrived, one.repeated, len(one.missing), len(one.out_of_order))
        table.add_row(Text(one.receiver, style=STYLES.get(one.receiver, OTHERS)), *map(str, counts))
    return table


def _log(report: Report, begun: float) -> Table:
    """Fits into 80 columns."""
    table = Table(box=None, title="Delivery log", title_justify="left", padding=(0, 1, 0, 0))
    for name in LOG:
        table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
    for one in report.attempts:
        table.add_row(
            f"{one['at'] / 1000 - begun:.2f} s",
            Text(report.names[one["notification"]]),
            Text(one["receiver"], style=STYLES.get(one["receiver"], OTHERS)),
            str(one["number"]),
            Text(one["result"], style="" if one["result"] == "delivered" else "red"),
            str(one.get("status") or "-"),
            Text(one.get("reason") or "-"),
            str(one.get("latency_ms", "-")),
        )
    return table


def _verdict(report: Report) -> Text:
    expected = sum(one.expected for one in report.balances)
    arrived = sum(one.arrived for one in report.balances)
    within = f"within {report.seconds:.1f} s"
    if report.is_good:
        return Text(f"All {expected} arrived, in order, {within}.", style="bold green")
    return Text(f"{arrived} of {expected} arrived {within}.", style="bold red")
