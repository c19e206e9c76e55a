"""What tests of the real process need of the machine."""

import pytest
from tests.end_to_end.browser import find_browser


@pytest.fixture
def chromium() -> str:
    """Chromium's path; the test is skipped, or fails, where there is none."""
    return find_browser()
