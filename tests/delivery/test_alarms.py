"""tocsin.delivery.alarms: an operator is told, and not a thousand times."""

from tests.fakes.deliveries import T0

from tocsin.delivery import alarms as alarms_module
from tocsin.delivery.alarms import QUIET, Alarms


class Ear:
    """Hears events, and has the time."""

    def __init__(self) -> None:
        self.now = T0
        self.heard: list[tuple[str, dict[str, object]]] = []

    def __call__(self, name: str, **fields: object) -> None:
        self.heard.append((name, fields))


def test_each_reason_of_each_app_is_told_once_an_hour() -> None:
    """Others are told at once (push.md, C.3)."""
    ear = Ear()
    alarms = Alarms(ear, lambda: ear.now)
    for app_id, reason in (("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")):
        alarms.sound(app_id, reason, status=400)
    assert ear.heard == [
        ("push.alarm", {"app_id": app_id, "reason": reason, "status": 400})
        for app_id, reason in (("a", "x"), ("a", "y"), ("b", "x"))
    ]
    ear.now += QUIET - 1
    alarms.sound("a", "x")
    assert len(ear.heard) == 3
    ear.now += 1
    alarms.sound("a", "x")
    assert len(ear.heard) == 4


def test_what_it_remembers_is_bounded() -> None:
    """Beyond that an operator may be told again."""
    ear = Ear()
    alarms = Alarms(ear, lambda: ear.now)
    for number in range(alarms_module.MOST_KNOWN + 1):
        alarms.sound("a", str(number))
    alarms.sound("a", "0")
    assert len(ear.heard) == alarms_module.MOST_KNOWN + 2
