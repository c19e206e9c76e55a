"""Long lists in parts (MS-28, MS-30)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.parts import AROUND, MOST_BYTES, MOST_ENTRIES, fitting, parts

SIZES = st.sampled_from([1, 50, 5000, 70_000, MOST_BYTES - AROUND - 1, MOST_BYTES * 2])


@given(st.lists(SIZES, max_size=250))
def test_nothing_is_lost(sizes: list[int]) -> None:
    """All entries come, in order; every part but the last says that more follow; none is larger
    than it may be, but for an entry that could not be smaller (MS-30)."""
    entries = [b"%d" % at + b"x" * size for at, size in enumerate(sizes)]
    made = list(parts(entries))
    assert [entry for part, _ in made for entry in part] == entries
    assert [more for _, more in made] == [True] * (len(made) - 1) + [False]
    for part, _ in made:
        assert len(part) <= MOST_ENTRIES
        assert len(b",".join(part)) <= MOST_BYTES - AROUND or len(part) == 1
    assert all(part for part, _ in made) or not entries


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (100, [100]), (101, [100, 1]), (200, [100, 100])]
)
def test_by_number(count: int, sizes: list[int]) -> None:
    """At most 100 to a part; of nothing there is one empty part (MS-30)."""
    assert [len(part) for part, _ in parts([b"x"] * count)] == sizes


def test_by_size() -> None:
    """A part is full when another entry would not fit."""
    assert [len(part) for part, _ in parts([b"x" * 200_000] * 5)] == [2, 2, 1]


def test_fitting() -> None:
    """A history stops early at 512 KiB, at the end that the client stands at (MS-28)."""
    entries = [b"%d" % at + b"x" * 200_000 for at in range(5)]
    assert fitting(entries) == entries[:2]
    assert fitting(entries, from_end=True) == entries[3:]
    assert fitting([], from_end=True) == []
    assert fitting([b"x"] * 100) == [b"x"] * 100
