"""The table a run ends with."""

from collections.abc import Sequence
from typing import Literal

import attrs

Judged = Literal["figure", "ratio"]
HEADINGS = ("", "figure", "floor", "ratio", "target", "")


@attrs.frozen
class Figure:
    """One measured thing, its floor in the same run, and what it ought to be.

    `judged` says whether `target` and `stretch` speak of the figure or of figure / floor;
    `at_most` whether less is better. `note` says how to read it.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    target: float | None = None
    stretch: float | None = None
    judged: Judged = "figure"
    at_most: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure in units of its floor."""
        return self.value / self.floor if self.floor else None

    @property
    def verdict(self) -> str:
        """`missed`, `met` or `stretch`; nothing without a target."""
        measured = self.ratio if self.judged == "ratio" else self.value
        if self.target is None or measured is None:
            return ""
        if not self._reaches(measured, self.target):
            return "missed"
        if self.stretch is not None and self._reaches(measured, self.stretch):
            return "stretch"
        return "met"

    def _reaches(self, measured: float, wanted: float) -> bool:
        return measured <= wanted if self.at_most else measured >= wanted

    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        sign, unit = "<=" if self.at_most else ">=", "x" if self.judged == "ratio" else ""
        return (
            self.name,
            f"{number(self.value)} {self.unit}",
            "" if self.floor is None else number(self.floor),
            "" if self.ratio is None else f"{self.ratio:.2f}x",
            "" if self.target is None else f"{sign} {number(self.target)}{unit}",
            " ".join(part for part in (self.verdict, self.note) if part),
        )


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> str:
    """All figures, one a line, in columns."""
    lines = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in {0, 5} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
