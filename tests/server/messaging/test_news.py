"""tocsin.server.messaging.news: what has no cursor and waits (messaging.md, MS-43, MS-68)."""

from itertools import islice

from tocsin.server.messaging.news import MOST_HINTS, MOST_STATES, News


def test_notes_go_behind_what_was_there() -> None:
    """MS-21: not before the entries they came after."""
    news = News(10)
    news.note(b"a", behind=3)
    news.note(b"b", behind=5)
    assert news.next_note(2) is None
    assert news.next_note(3) == b"a"
    news.drop_note()
    assert (news.next_note(4), news.has_notes) == (None, True)
    assert news.next_note(5) == b"b"
    news.drop_note()
    assert not news


def test_notes_are_bounded() -> None:
    """MS-68: one too many is said to be."""
    news = News(2)
    assert [news.note(b"x", behind=0) for _ in range(3)] == [True, True, False]


def test_hints_are_dropped() -> None:
    """MS-44: a few wait, more are nothing lost."""
    news = News(100)
    for _ in range(MOST_HINTS + 5):
        news.hint(b"x", behind=0)
    assert sum(1 for _ in iter(lambda: news.next_note(0) and not news.drop_note(), None)) == 16


def test_a_newer_state_takes_the_place_of_an_older_one() -> None:
    """MS-43: one of each subscriber, in the order in which they first changed."""
    news = News(1)
    news.state(1, b"old")
    news.state(2, b"other")
    assert news.is_known(1)
    news.state(1, b"new")
    assert list(news.states()) == [b"new", b"other"]
    assert not news


def test_states_that_were_not_sent_stay() -> None:
    """MS-43: whoever stops in between has sent all but the one in his hand."""
    news = News(1)
    for about in range(4):
        news.state(about, b"%d" % about)
    taken = news.states()
    assert list(islice(taken, 3)) == [b"0", b"1", b"2"]
    taken.close()
    assert list(news.states()) == [b"2", b"3"]


def test_states_are_bounded() -> None:
    """MS-68: one of too many is said to be, not a newer one of the same."""
    news = News(1)
    assert all(news.state(about, b"") for about in range(MOST_STATES))
    assert news.state(0, b"newer")
    assert not news.state(MOST_STATES, b"")
