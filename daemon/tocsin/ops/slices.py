"""What is too much to be done at once: done a slice at a time, with others in between."""

from collections.abc import Callable, Sized
from typing import NoReturn

import trio

from tocsin.ops.service import Progress


class Slices:
    """Has one slice after the other done while something waits. How much may wait, and what is
    done when that is full, is its owner's to say."""

    def __init__(self, later: Sized, do_slice: Callable[[], None], *, of: str) -> None:
        """`later` is what waits, and `do_slice` takes something out of it; `of` says in `/readyz`
        what is waited for."""
        self._later = later
        self._do_slice = do_slice
        self._of = of
        self._more = trio.Event()

    def arrived(self) -> None:
        """Something waits now."""
        self._more.set()

    async def run(self, progress: Progress) -> NoReturn:
        """Do slices until cancelled; every other task gets its turn between two of them."""
        while True:
            while self._later:
                progress.beat()
                self._do_slice()
                await trio.lowlevel.checkpoint()
            progress.waiting(self._of)
            await self._more.wait()
            self._more = trio.Event()
