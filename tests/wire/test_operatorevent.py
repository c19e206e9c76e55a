"""tocsin.wire.operatorevent: the body of a webhook to the operator."""

import orjson

from tocsin.wire.operatorevent import event_body


def test_the_form() -> None:
    """`{"type","timestamp","data"}`, the time in UTC with milliseconds (PU-56)."""
    body = event_body("lane.blocked", 1_700_000_000_005, {"lane": "l", "status": None, "n": 3})
    assert orjson.loads(body) == {
        "type": "lane.blocked",
        "timestamp": "2023-11-14T22:13:20.005Z",
        "data": {"lane": "l", "status": None, "n": 3},
    }


def test_anything_can_be_said() -> None:
    """A field no JSON has a form for is told in words: an event must not fail."""
    assert orjson.loads(event_body("x.y", 0, {"error": ValueError("no")}))["data"] == {
        "error": "no"
    }
