"""`tocsin push` against a gateway that answers as the test says."""

import orjson
import pytest
import trio
from click.testing import CliRunner, Result
from tests.fakes.receiver import Answer, Received, reply, start

from tocsin.cli.main import tocsin

SENT = {"code": 200, "status": 200, "response": "Your message was sent."}
GONE = {
    "code": 404,
    "status": 404,
    "response": "Pnmediator returned unknown error: ERR:404 Not Found",
}


def said(reply_object: object, status: int = 200) -> Answer:
    return reply(status, "Connection: close", body=orjson.dumps(reply_object))


async def run(answer: Answer, *words: str, bearer: str = "") -> tuple[Result, list[Received]]:
    """What the command prints, and what it asked."""
    async with trio.open_nursery() as nursery:
        receiver = await start(nursery, answers=[answer])
        environ = {"TOCSIN_URL": f"http://127.0.0.1:{receiver.port}", "TOCSIN_TOKEN": bearer}
        runner = CliRunner(env=environ)
        result = await trio.to_thread.run_sync(lambda: runner.invoke(tocsin, ["push", *words]))
        nursery.cancel_scope.cancel()
    return result, receiver.requests


async def test_a_plain_push() -> None:
    """A text for a device, without a token from a trusted network; the reply is shown (PU-9)."""
    result, [asked] = await run(said(SENT), "com.x", "00fa", "--message", "hi")
    assert result.exit_code == 0
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["code", "200"],
        ["status", "200"],
        ["response", "Your message was sent."],
    ]
    assert (asked.method, asked.target) == ("POST", "/pnm2/send")
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers
    assert orjson.loads(asked.body) == {
        "verb": "NotifyGenericTextMessage",
        "AppId": "com.x",
        "DeviceToken": "00fa",
        "Message": "hi",
    }


async def test_every_attribute() -> None:
    """Options are the attributes of A.2, zeros and empty texts included; a token is sent."""
    result, [asked] = await run(
        said(SENT),
        *("com.x.voip", "00fb", "--verb", "NotifyIncomingCall", "--selector", "a1"),
        *("--id", "c7", "--badge", "0", "--sound", "", "--ttl", "0", "--name", "Bob", "--json"),
        bearer="t",
    )
    assert result.exit_code == 0
    assert orjson.loads(result.stdout) == SENT
    assert asked.headers["authorization"] == "Bearer t"
    assert orjson.loads(asked.body) == {
        "verb": "NotifyIncomingCall",
        "AppId": "com.x.voip",
        "DeviceToken": "00fb",
        "Selector": "a1",
        "Id": "c7",
        "Badge": 0,
        "Sound": "",
        "Ttl": 0,
        "UserDisplayName": "Bob",
    }


@pytest.mark.parametrize(
    ("answer", "stdout", "stderr"),
    [
        (said(GONE), "ERR:404 Not Found", ""),
        (said({"code": 500, "status": 500, "response": "x\x1b[31m"}), "x?[31m", ""),
        (
            said({"code": 400, "status": 400, "response": "Not authorized"}, 401),
            "",
            "Error: 401 Not authorized\n",
        ),
        (
            said({"requestError": {"x": {"text": "Code is %1", "variables": ["a"]}}}, 404),
            "",
            "Error: 404 Code is a\n",
        ),
        (said("what?"), "", "Error: 200 Whatever: not the public listener of a tocsin?\n"),
        (said([]), "", "Error: 200 Whatever: not the public listener of a tocsin?\n"),
        (reply(502), "", "Error: 502 Whatever: not the public listener of a tocsin?\n"),
    ],
)
async def test_what_did_not_work(answer: Answer, stdout: str, stderr: str) -> None:
    """A reply other than 200, a refusal and another server: status 1, and what it said, fit for a
    terminal (OP-3)."""
    result, _ = await run(answer, "com.x", "00fa", "--message", "hi")
    assert result.exit_code == 1
    assert stdout in result.stdout
    assert result.stderr == stderr


def test_no_daemon() -> None:
    """One line with the address, status 1; the device token is not in it (OP-3, PU-43)."""
    words = ["push", "com.x", "00fa", "--url", "http://127.0.0.1:1", "--message", "hi"]
    result = CliRunner().invoke(tocsin, words)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1: ")
    assert "00fa" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [("com.x",), ("com.x", "00", "--badge", "-1"), ("com.x", "00", "--ttl", "2419201")],
)
def test_bad_usage(words: tuple[str, ...]) -> None:
    """Status 2 before anything is asked (OP-3)."""
    result = CliRunner().invoke(tocsin, ["push", *words])
    assert (result.exit_code, result.stdout) == (2, "")
