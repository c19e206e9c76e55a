"""tocsin.demo.child: a daemon that cannot be had (OP-2)."""

from pathlib import Path

import pytest

from tocsin.demo.child import last_words, started
from tocsin.demo.errors import DemoError


async def test_it_does_not_start(tmp_path: Path) -> None:
    """It is said at once, and its log says why."""
    assert last_words(tmp_path) == ""
    with pytest.raises(DemoError, match="ended at once"):
        async with started(tmp_path, {"log.level": "loud"}):
            raise AssertionError("it started")
    assert "log.level" in last_words(tmp_path)
