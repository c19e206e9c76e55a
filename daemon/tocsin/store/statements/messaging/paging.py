"""Pages end where they are large: what nobody can be sent at once need not be read at once."""

from collections.abc import Callable
from typing import Any, Final

import apsw

PAGE_BYTES: Final = 524_288
"""As much as an answer holds (MS-30); the row that goes beyond it is the last."""


def filled(
    found: apsw.Cursor, size: Callable[[tuple[Any, ...]], int]
) -> tuple[list[tuple[Any, ...]], bool]:
    """Rows until they fill a page, one at least if there is one; whether more were found."""
    rows: list[tuple[Any, ...]] = []
    room = PAGE_BYTES
    for row in found:
        if room < 0:
            found.close(True)
            return rows, True
        rows.append(row)
        room -= size(row)
    return rows, False
