"""How far long work is, for those who watch it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(doing: str, count: Callable[[], int | None]) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, nothing where that is no terminal. What this gives is to be told
    how many are done. `count` says of how many, or None; it is not asked without a bar."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=None)
        bar.update(task, total=count())
        yield lambda done: bar.update(task, completed=done)
