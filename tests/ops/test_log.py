"""tocsin.ops.log: what comes out, and what must not (OP-17, SE-7)."""

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from tocsin.ops.log import configure, redact, shorten, traceback_text

PLANTED = "pl4nt3d-s3cr3t"
JWT = f"eyJhbGciOiJIUzI1NiJ9.{PLANTED}.c2ln"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(capture: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in capture.readouterr().out.splitlines()]


def test_one_json_line_per_event(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Time in UTC, level and event stand in front, bound fields behind (OP-17)."""
    configure("info", "json")
    structlog.get_logger().bind(channel="ws-1").info("delivery.settled", attempts=2)
    (raw,) = capfdbinary.readouterr().out.splitlines()
    event = orjson.loads(raw)
    assert list(event)[:3] == ["time", "level", "event"]
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "event": "delivery.settled",
        "channel": "ws-1",
        "attempts": 2,
    }


def test_a_pipe_gets_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`auto` looks whether standard output is a terminal; here it is none."""
    configure("info", "auto")
    structlog.get_logger().info("daemon.started")
    assert lines(capfdbinary)[0]["event"] == "daemon.started"


def test_console_quotes_what_peers_sent(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """For people: no JSON, and no control sequence of a peer reaches the terminal."""
    configure("info", "console")
    structlog.get_logger().info("request.refused", target="/\x1b[2J", token=PLANTED)
    out = capfdbinary.readouterr().out
    assert b"request.refused" in out
    assert b"\x1b" not in out
    assert PLANTED.encode() not in out


def test_levels(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Below the level nothing comes out, and configuring again changes that."""
    configure("warning", "json")
    structlog.get_logger().info("a.quiet")
    structlog.get_logger().warning("a.loud")
    configure("debug", "json")
    structlog.get_logger().debug("a.detail")
    assert [event["event"] for event in lines(capfdbinary)] == ["a.loud", "a.detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": f"Bearer {PLANTED}"},
        {"headers": {"X-Authorization": PLANTED}},
        {"channel": {"data": [{"x-deviceToken": PLANTED}]}},
        {"body": {"anything": PLANTED}},
        {"payload": PLANTED.encode()},
        {"chunk": PLANTED.encode()},
        {"target": f"/channels/ws-1/websocket?access_token={PLANTED}&since=1"},
        {"target": f"/x?since=1&ACCESS_TOKEN={PLANTED}"},
        {"note": f"sent Authorization: Bearer {PLANTED}"},
        {"note": f"got {JWT} from a client"},
        {"error": ValueError(f"bad URL ?access_token={PLANTED}")},
        {"pair": ("client_secret", {"client_secret": PLANTED})},
        {f"access_token={PLANTED}": "as a key"},
    ],
)
def test_planted_secrets_do_not_come_out(
    capfdbinary: pytest.CaptureFixture[bytes], fields: dict[str, Any]
) -> None:
    """By key at any depth, by pattern inside texts, and no bytes ever (OP-17, SE-7)."""
    configure("info", "json")
    structlog.get_logger().info("request.refused", kept="kept", **fields)
    out = capfdbinary.readouterr().out
    assert PLANTED.encode() not in out
    assert b'"kept":"kept"' in out


def test_the_rest_of_a_url_stays() -> None:
    """Only the token in a URL is hidden."""
    event = redact(None, "info", {"target": "/x?access_token=abc&since=1:2"})
    assert event["target"] == "/x?access_token=***&since=1:2"


def test_an_exception_is_a_bounded_text_without_locals(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The traceback names the error, shows no variable, hides tokens, and has a bound (OP-17)."""

    def deeper(depth: int, secret: str) -> None:
        if depth:
            deeper(depth - 1, secret)
        raise ValueError(f"?access_token={secret}")

    configure("info", "json")
    try:
        deeper(100, PLANTED)
    except ValueError:
        structlog.get_logger().exception("attempt.crashed")
    (event,) = lines(capfdbinary)
    assert event["exception"].endswith("ValueError: ?access_token=***")
    assert event["exception"].count("in deeper") <= 20
    assert PLANTED not in event["exception"]
    assert "exc_info" not in event


def test_a_long_error_is_cut() -> None:
    """However much an exception has to say, the text stays bounded, and no token is halved."""
    text = traceback_text(ValueError("x" * 20_000 + f"access_token={PLANTED}" + "x" * 6_150))
    assert len(text) < 8500
    assert PLANTED[-4:] not in text


def test_causes_and_groups_are_shown() -> None:
    """The text of a group shows what is inside it."""
    text = traceback_text(ExceptionGroup("several", [KeyError("a"), OSError("b")]))
    assert "KeyError: 'a'" in text
    assert "OSError: b" in text


class Colour(enum.StrEnum):
    RED = "red"


def test_values_json_does_not_know(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Sets, objects, huge integers, lone surrogates and endless depth never stop the log."""
    deep: dict[str, Any] = {}
    deep["deeper"] = deep
    configure("info", "json")
    log = structlog.get_logger()
    log.info("a.one", many={1}, thing=object, colour=Colour.RED, deep=deep, nan=float("nan"))
    log.info("a.two", huge=1 << 80, text="\ud800")
    first, second = capfdbinary.readouterr().out.splitlines()
    assert orjson.loads(first)["colour"] == "red"
    assert orjson.loads(first)["many"] == [1]
    assert json.loads(second)["huge"] == 1 << 80


def test_long_texts_are_cut_in_the_middle() -> None:
    """Both ends stay, the length of what is missing is told."""
    short = shorten("a" * 50 + "b" * 50, limit=40)
    assert short.startswith("aaaaaaaaaa\n... 60 characters left out ...\n")
    assert short.endswith("\n" + "b" * 30)
    assert shorten("abc", limit=3) == "abc"


def test_a_full_disk_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """SE-12: where standard output takes nothing, whoever logs never hears of it."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, as it must
    monkeypatch.setattr(sys, "stdout", full)
    configure("info", "json")
    for number in range(1000):
        structlog.get_logger().info("daemon.started", number=number)
    with pytest.raises(OSError, match="No space left"):
        full.close()
