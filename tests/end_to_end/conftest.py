"""What tests of the real process need of the machine."""

from collections.abc import Iterator

import pytest
from tests.end_to_end.browser import find_browser
from tests.fakes.ports import reserved_port


@pytest.fixture
def chromium() -> str:
    """Chromium's path; the test is skipped, or fails, where there is none."""
    return find_browser()


@pytest.fixture
def port() -> Iterator[int]:
    """A port of loopback for a server that is not there all the time; nobody else takes it."""
    with reserved_port() as port:
        yield port
