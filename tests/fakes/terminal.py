"""A terminal to write to, and what was written."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import attrs


@attrs.define
class Screen:
    """What a program sees as its terminal; `text` is whole after the end of `terminal`."""

    stream: TextIO
    text: str = ""


@contextmanager
def terminal() -> Iterator[Screen]:
    """Somebody reads all the time, so that no writer waits."""
    ours, theirs = os.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 65_536):
                chunks.append(chunk)
        except OSError:
            pass  # as a terminal says that it has ended

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with os.fdopen(theirs, "w") as stream:
            screen = Screen(stream)
            yield screen
    finally:
        reader.join()
        os.close(ours)
    screen.text = b"".join(chunks).decode()
