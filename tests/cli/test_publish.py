"""`tocsin publish` against a daemon in this process."""

from pathlib import Path

import orjson
import pytest
import trio
from click.testing import CliRunner, Result
from tests.fakes.daemon import USER, Daemon, daemon, token
from tests.fakes.receiver import reply, start

from tocsin.cli.main import tocsin

MESSAGE = '{"chatMessageNotification":{"chatMessage":{"text":"hi"},"n":123456789012345678901}}'


async def run(
    url: str, *words: str, bearer: str | None = None, given: str | None = None, status: int = 0
) -> Result:
    """What the command prints, in a thread of its own."""
    environ = {"TOCSIN_URL": url, "TOCSIN_TOKEN": bearer or token(scope="publish")}
    runner = CliRunner(env=environ)
    result = await trio.to_thread.run_sync(
        lambda: runner.invoke(tocsin, ["publish", *words], input=given)
    )
    assert result.exit_code == status, (result.output, result.stderr)
    return result


async def published(running: Daemon, *words: str, **more: str) -> dict[str, object]:
    result = await run(f"http://{running.public}", *words, "--json", **more)  # type: ignore[arg-type]
    answer: dict[str, object] = orjson.loads(result.stdout)
    return answer


async def test_in_every_way(tmp_path: Path) -> None:
    """From the command line, the standard input or a file, its own text unchanged; it says its id
    and how many channels it goes to (OP-3)."""
    file = tmp_path / "message.json"
    file.write_text(MESSAGE)
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        for words, given in (
            ((USER, MESSAGE, "--id", "a"), ""),
            ((USER, "-", "--id", "b"), MESSAGE),
            ((USER, f"@{file}", "--id", "c"), ""),
        ):
            answer = await published(running, *words, given=given)
            assert answer == {"id": words[-1], "channels": 1, "status": "accepted"}
        shown = await run(f"http://{running.public}", "nobody", MESSAGE)
        assert shown.stdout.splitlines()[1:] == ["channels  0", "status    no_channel"]
        assert (await running.stored())[2] == {"websockets": 3}


async def test_what_goes_out() -> None:
    """Every option is a member of the request, and those that are not given are not there; the
    service follows from the root key (CH-101, CH-110)."""
    async with trio.open_nursery() as nursery:
        taken = reply(202, "Connection: close", body=b'{"id":"a","channels":0,"status":"x"}')
        receiver = await start(nursery, answers=[taken, taken])
        url = f"http://127.0.0.1:{receiver.port}/"
        await run(url, "u", MESSAGE)
        await run(
            url,
            *("u", '{"x":{}}', "--service", "fax", "--id", "i", "--priority", "urgent"),
            *("--expires-in", "30", "--collapse-key", "c", "--order-key", "o"),
            *("--destination-address", "+1"),
        )
        nursery.cancel_scope.cancel()
    first, second = receiver.requests
    assert (first.method, first.target) == ("POST", "/v1/notifications")
    assert first.headers["authorization"].startswith("Bearer ")
    assert first.body == b'{"user":"u","service":"chat","notification":%b}' % MESSAGE.encode()
    assert orjson.loads(second.body) == {
        "user": "u",
        "service": "fax",
        "notification": {"x": {}},
        "id": "i",
        "priority": "urgent",
        "expires_in": 30,
        "collapse_key": "c",
        "order_key": "o",
        "destination_address": "+1",
    }


async def test_refusals(tmp_path: Path) -> None:
    """What the daemon refuses is one line with its words, status 1 (OP-3)."""
    async with daemon(tmp_path) as running:
        url = f"http://{running.public}"
        refused = await run(url, "u", '{"chatMessageNotification":{"id":3}}', status=1)
        assert refused.stderr == "Error: 400 Invalid input value for message part id\n"
        refused = await run(url, "u", MESSAGE, "--service", "fax", status=1)
        assert "message part service, valid values are sms, chat," in refused.stderr
        weak = token(scope="channels")
        refused = await run(url, "u", MESSAGE, bearer=weak, status=1)
        assert refused.stderr == "Error: 403 A policy error occurred. Error code is scope_missing\n"
        wrong = await run(f"http://{running.app.admin_addresses[0]}", "u", MESSAGE, status=1)
        assert wrong.stderr == (
            "Error: 404 This is not the public listener; --url says where that is.\n"
        )


def test_no_daemon() -> None:
    """One line with the address and without the token, status 1 (OP-3)."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": "s3cret"}
    result = CliRunner(env=environ).invoke(tocsin, ["publish", "u", MESSAGE])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1: ")
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize("secret", ["s3cret\nX: y", "s3crét", " s3cret "])
@pytest.mark.parametrize(
    "words", [["publish", "u", MESSAGE], ["lanes", "list"], ["listen", "ws-1"]]
)
def test_a_token_that_cannot_be_sent(words: list[str], secret: str) -> None:
    """OP-3: it is bad usage, whatever it is given to, and not shown."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": secret}
    result = CliRunner(env=environ).invoke(tocsin, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--token must be the token alone" in result.stderr
    assert "s3cr" not in result.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("u",), "JSON"),
        (("u", "{"), "is not JSON"),
        (("u", "[]"), "is not a JSON object"),
        (("u", '{"x":{}}'), "--service"),
        (("u", "{}"), "--service"),
        (("u", "@/nonexistent/file"), "cannot be read: No such file"),
        (("u", MESSAGE, "--priority", "high"), "'high' is not one of"),
        (("u", MESSAGE, "--expires-in", "0"), "--expires-in"),
    ],
)
def test_bad_usage(words: tuple[str, ...], problem: str) -> None:
    """Status 2 before anything is asked (OP-3)."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": "x"}
    result = CliRunner(env=environ).invoke(tocsin, ["publish", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_a_token_is_needed() -> None:
    """Nothing is published without one (CH-13)."""
    result = CliRunner(env={"TOCSIN_TOKEN": ""}).invoke(tocsin, ["publish", "u", MESSAGE])
    assert result.exit_code == 2
