"""Counting failed logins."""

from tocsin.server.failures import ALLOWED, Failures


def failed(name: str, *times: float, size: int = 100) -> Failures:
    failures = Failures(size)
    for time in times:
        failures.add(name, time)
    return failures


def test_ten_failures_close_a_name_until_a_minute_after_the_first() -> None:
    """CH-14: after ten failures in a minute a name waits until fewer than ten are that recent."""
    failures = failed("bob", *range(ALLOWED))
    assert failures.retry_after("bob", 10.0) == 50
    assert failures.retry_after("bob", 59.5) == 1
    assert failures.retry_after("bob", 60.0) == 0
    failures.add("bob", 60.0)
    assert failures.retry_after("bob", 60.0) == 1


def test_nine_failures_and_other_names_do_not_count() -> None:
    """CH-14: the count is per name."""
    failures = failed("bob", *range(ALLOWED - 1))
    assert failures.retry_after("bob", 9.0) == 0
    assert failures.retry_after("eve", 9.0) == 0


def test_table_is_bounded() -> None:
    """SE-5: when the table is full, the name whose last failure is longest ago makes room."""
    failures = failed("bob", *[0.0] * ALLOWED, size=2)
    failures.add("eve", 1.0)
    failures.add("bob", 2.0)
    failures.add("joe", 3.0)
    assert len(failures) == 2
    assert failures.retry_after("bob", 3.0) > 0
