"""tocsin.delivery.endings: who waits is told once, and never of what others wait for."""

from typing import TYPE_CHECKING

import pytest
from tests.fakes.deliveries import notification

from tocsin.delivery.endings import Ending, Endings

if TYPE_CHECKING:
    from tocsin.model.notification import Notification

DONE = Ending("delivered")
NOTE = notification(service="push")


@pytest.fixture
def endings() -> Endings:
    """Nobody waits yet."""
    return Endings()


def test_all_who_wait_are_told_once(endings: Endings) -> None:
    """The first caller and those who repeat his push (PU-14, PU-19)."""
    told: list[Ending] = []
    endings.watch(1, told.append)
    endings.watch(1, told.append)
    endings.tell(1, NOTE, DONE)
    endings.tell(1, NOTE, Ending("expired"))
    assert told == [DONE, DONE]
    assert len(endings) == 0


def test_who_waits_no_longer_is_not_told(endings: Endings) -> None:
    """The others go on waiting (PU-14)."""
    first: list[Ending] = []
    second: list[Ending] = []
    endings.watch(1, first.append)
    endings.watch(1, second.append)
    assert endings.unwatch(1, first.append)
    assert 1 in endings.watched
    endings.tell(1, NOTE, DONE)
    assert (first, second) == ([], [DONE])


def test_nobody_waits_after_unwatching_all(endings: Endings) -> None:
    """Whether somebody ever did or not."""
    endings.watch(1, lambda _ending: None)
    assert endings.unwatch(1)
    assert endings.unwatch(1)
    assert 1 not in endings.watched


def test_what_is_decided_will_be_told(endings: Endings) -> None:
    """Who would stop waiting between the judgement and its commit is told to wait (PU-15)."""
    told: list[Ending] = []
    endings.watch(1, told.append)
    assert endings.decide(1)
    assert not endings.unwatch(1, told.append)
    assert not endings.unwatch(1)
    endings.tell(1, NOTE, DONE)
    assert told == [DONE]
    assert not endings.decide(1)


def test_what_nobody_waits_for_is_feedback(endings: Endings) -> None:
    """If anything is known of it (PU-17)."""
    told: list[tuple[int, Notification, Ending]] = []
    endings.unwatched = lambda *one: told.append(one)
    endings.watch(1, lambda _ending: None)
    endings.tell_all({1: NOTE, 2: NOTE}, DONE)
    endings.tell(3, None, DONE)
    assert told == [(2, NOTE, DONE)]


def test_who_is_watched_can_be_listed(endings: Endings) -> None:
    """As it is at any time, for the sweep of what has expired (PU-15)."""
    watched = endings.watched
    endings.watch(1, lambda _ending: None)
    endings.watch(2, lambda _ending: None)
    assert set(watched) == {1, 2}
    endings.unwatch(2)
    assert set(watched) == {1}
