"""`tocsin channels`, `deliveries`, `deadletters`, `lanes` against a daemon in this process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
import structlog
import trio
from click.testing import CliRunner, Result
from tests.fakes.daemon import USER, Daemon, daemon, token
from tests.fakes.receiver import reply, start

from tocsin.cli import deadletters as module
from tocsin.cli.main import tocsin

TOLD: list[object] = []
Count = Callable[[], int | None]
REFUSED = reply(500, "Connection: close", body=b"no\x1b[31m luck")
TAKEN = reply(200, "Connection: close")
ONCE: dict[str, Any] = {"delivery": {"webhook_retries": [0.0], "jitter": 0.0}}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The daemon's log would go to the standard output that a command under test has."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@contextmanager
def counted(doing: str, count: Count) -> Iterator[Callable[[int], None]]:
    """A bar that is a list."""
    TOLD.append(f"{doing} of {count()}")
    yield TOLD.append


async def run(running: Daemon, *words: str, bearer: str | None = None, status: int = 0) -> Result:
    """What a command prints, in a thread of its own."""
    environ = {
        "TOCSIN_URL": f"http://{running.app.admin_addresses[0]}",
        "TOCSIN_TOKEN": bearer or token(scope="admin"),
    }
    result = await trio.to_thread.run_sync(lambda: CliRunner(env=environ).invoke(tocsin, words))
    assert result.exit_code == status, (result.output, result.stderr)
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    """What `--json` prints."""
    return [orjson.loads(line) for line in result.stdout.splitlines()]


async def give_up(running: Daemon, nursery: trio.Nursery, *ids: str) -> str:
    """Have these become dead letters of a webhook that works from then on; its channel id."""
    receiver = await start(nursery, answers=[*[REFUSED] * len(ids), *[TAKEN] * len(ids)])
    channel = await running.open_webhook(f"http://127.0.0.1:{receiver.port}/hook")
    await running.subscribe(channel)
    await running.publish(*ids)
    with trio.fail_after(30):
        while (await running.stored())[3].get("Webhooks") != len(ids):  # noqa: ASYNC110 - from outside
            await trio.sleep(0.01)
    return str(channel["resourceURL"].rpartition("/")[2])


async def test_channels(tmp_path: Path) -> None:
    """Listed in columns or as JSON, shown, suspended, resumed, deleted (OP-3)."""
    async with daemon(tmp_path) as running:
        socket, hook = await running.open_channel(), await running.open_webhook()
        await running.subscribe(socket)
        first, second = (one["resourceURL"].rpartition("/")[2] for one in (socket, hook))
        heading, *rows = (await run(running, "channels", "list")).stdout.splitlines()
        assert heading.split()[:4] == ["id", "user", "type", "state"]
        assert [row.split()[:3] for row in rows] == [
            [second, USER, "Webhooks"],
            [first, USER, "websockets"],
        ]
        found = lines(await run(running, "channels", "list", "--json", "--limit", "1"))
        assert [one["id"] for one in found] == [second]
        shown = (await run(running, "channels", "show", first)).stdout
        assert USER in shown
        assert "chat" in shown.splitlines()[-1]
        assert "suspended" in (await run(running, "channels", "suspend", second)).stdout
        assert "active" in (await run(running, "channels", "resume", second)).stdout
        await run(running, "channels", "delete", first)
        gone = await run(running, "channels", "show", first, status=1)
        assert gone.stderr == "Error: 404 There is no such channel.\n"


async def test_deliveries_and_dead_letters(tmp_path: Path) -> None:
    """What was given up is listed, shown with what it says, replayed; the log tells the whole way;
    what comes from afar cannot steer the terminal (OP-3, delivery log and dead letters)."""
    async with daemon(tmp_path, **ONCE) as running, trio.open_nursery() as nursery:
        channel = await give_up(running, nursery, "a", "b")
        log = await run(running, "deliveries", "list", "--channel", channel)
        assert {line.split("\t")[1] for line in log.stdout.splitlines()[1:]} == {"a", "b"}
        assert "\x1b" not in log.stdout
        letters = lines(await run(running, "deadletters", "list", "--since", "2h", "--json"))
        assert {one["notification"] for one in letters} == {"a", "b"}
        shown = await run(running, "deadletters", "show", str(letters[0]["id"]))
        assert '{"chatMessageNotification":' in shown.stdout
        replayed = await run(running, "deadletters", "replay", "--channel", channel, "--json")
        assert lines(replayed) == [{"replayed": 2, "skipped": 0}]
        with trio.fail_after(30):
            while (await running.stored())[2].get("Webhooks"):  # noqa: ASYNC110 - from outside
                await trio.sleep(0.01)
        way = await run(running, "deliveries", "show", "a")
        assert "delivered" in way.stdout
        assert lines(await run(running, "deadletters", "list", "--json")) == []
        nursery.cancel_scope.cancel()


async def test_dead_letters_that_are_not_there(tmp_path: Path) -> None:
    """Asked for by an id that nobody has, or has no more, the command has failed, and says how far
    it came (OP-3)."""
    async with daemon(tmp_path, **ONCE) as running, trio.open_nursery() as nursery:
        await give_up(running, nursery, "a")
        [letter] = lines(await run(running, "deadletters", "list", "--json"))
        known = str(letter["id"])
        for verb, done in (("replay", "replayed"), ("purge", "purged")):
            words = ("deadletters", verb, *(["--yes"] if verb == "purge" else []), "--json")
            result = await run(running, *words, "1", "1", status=1)
            assert lines(result) == [{done: 0, "skipped": 0}]
            assert result.stderr == "Error: there is no such dead letter (1 of 1 not found)\n"
        result = await run(running, "deadletters", "replay", known, "1", "--json", status=1)
        assert lines(result) == [{"replayed": 1, "skipped": 0}]
        assert "1 of 2 not found" in result.stderr
        await run(running, "deadletters", "replay", "--channel", "wh-none")
        nursery.cancel_scope.cancel()


async def test_many_named_dead_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ids than one request takes are worked off in portions, and a bar on a terminal says how
    far it is; a failure on the way says how many were done (OP-3)."""
    monkeypatch.setattr(module, "PORTION", 2)
    monkeypatch.setattr(module, "progress", counted)
    async with daemon(tmp_path, **ONCE) as running, trio.open_nursery() as nursery:
        await give_up(running, nursery, "a", "b", "c")
        letters = lines(await run(running, "deadletters", "list", "--json"))
        ids = [str(one["id"]) for one in letters]
        TOLD.clear()
        purged = await run(running, "deadletters", "purge", *ids, ids[0], "--yes", "--json")
        assert lines(purged) == [{"purged": 3, "skipped": 0}]
        assert TOLD == ["purge of 3", 2, 3]
        await run(running, "deadletters", "purge", "--all", "--yes")
        assert TOLD[3:] == ["purge of 0", 0]
        nursery.cancel_scope.cancel()


async def test_a_failure_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before it failed is told with it (OP-3)."""
    monkeypatch.setattr(module, "PORTION", 1)

    def refuse(done: int) -> None:
        raise click.ClickException("no more")

    @contextmanager
    def broken(_doing: str, _count: Count) -> Iterator[Callable[[int], None]]:
        yield refuse

    monkeypatch.setattr(module, "progress", broken)
    async with daemon(tmp_path, **ONCE) as running, trio.open_nursery() as nursery:
        await give_up(running, nursery, "a", "b")
        letters = lines(await run(running, "deadletters", "list", "--json"))
        ids = [str(one["id"]) for one in letters]
        failed = await run(running, "deadletters", "purge", *ids, "--yes", status=1)
        assert failed.stderr == "Error: no more (1 purged before)\n"
        nursery.cancel_scope.cancel()


async def test_purging_asks_first(tmp_path: Path) -> None:
    """Nothing is forgotten for good without a yes (OP-3)."""
    async with daemon(tmp_path, **ONCE) as running, trio.open_nursery() as nursery:
        await give_up(running, nursery, "a")
        asked = await run(running, "deadletters", "purge", "--all", status=1)
        assert (asked.stdout, "for good?" in asked.stderr) == ("", True)
        assert (await running.stored())[3] == {"Webhooks": 1}
        purged = await run(running, "deadletters", "purge", "--all", "--yes")
        assert purged.stdout.split() == ["purged", "1", "skipped", "0"]
        assert (await running.stored())[3] == {}
        nursery.cancel_scope.cancel()


async def test_lanes(tmp_path: Path) -> None:
    """Paused by its name, listed with the reason, resumed; one that is not blocked is no lane to
    resume (OP-3)."""
    async with daemon(tmp_path) as running:
        name = "http://127.0.0.1:65535"
        await run(running, "lanes", "pause", name)
        [lane] = lines(await run(running, "lanes", "list", "--blocked", "--json"))
        assert (lane["name"], lane["blocked"]) == (name, "paused")
        assert "paused" in (await run(running, "lanes", "list")).stdout
        await run(running, "lanes", "resume", name)
        assert lines(await run(running, "lanes", "list", "--blocked", "--json")) == []
        for words, why in (
            (("resume", name), "is not blocked, or no lane"),
            (("pause", "NOLANE"), "is no name of a lane"),
            (("resume", "NOLANE"), "is no name of a lane"),
        ):
            refused = await run(running, "lanes", *words, status=1)
            advice = f"{words[1]} {why}; `tocsin lanes list` shows them"
            assert refused.stderr == f"Error: {advice}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("deliveries", "list"),
        ("deadletters", "replay"),
        ("deadletters", "replay", "--all", "--user", "u"),
        ("deadletters", "replay", "x"),
        ("channels", "list", "--type", "fax"),
        ("lanes", "list", "--limit", "0"),
        ("lanes", "pause", ""),
        ("channels", "show", ""),
        ("channels", "delete", ".."),
        ("deadletters", "replay", "99999999999999999999"),
        ("deadletters", "list", "--since", "yesterday"),
    ],
)
def test_bad_usage(words: tuple[str, ...]) -> None:
    """Status 2 before anything is asked (OP-3)."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": "x"}
    result = CliRunner(env=environ).invoke(tocsin, words)
    assert (result.exit_code, result.stdout) == (2, "")


def test_no_daemon() -> None:
    """One line with the address, status 1 (OP-3)."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": "x"}
    result = CliRunner(env=environ).invoke(tocsin, ["lanes", "list"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1: ")
    assert len(result.stderr.splitlines()) == 1


async def test_refusals_are_told(tmp_path: Path) -> None:
    """A token that may not, and a listener that is another one: one line, status 1, and the token
    is not in it."""
    async with daemon(tmp_path) as running:
        weak = token(scope="channels")
        refused = await run(running, "channels", "list", bearer=weak, status=1)
        assert "403" in refused.stderr
        assert "scope_missing" in refused.stderr
        assert weak not in refused.stderr
        wrong = await run(
            running, "channels", "list", "--url", f"http://{running.public}", status=1
        )
        assert wrong.stderr == (
            "Error: 404 This is not the admin listener; --url says where that is.\n"
        )
        lane = ("lanes", "resume", "http://a:80", "--url", f"http://{running.public}")
        assert (await run(running, *lane, status=1)).stderr == wrong.stderr
        none = await run(running, "deadletters", "show", "1", status=1)
        assert none.stderr == "Error: 404 There is no such dead letter.\n"


async def test_somebody_else_answers(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A page, or JSON that is no object, is no success of ours: one line, status 1 (OP-3)."""
    page, text = reply(200, "Connection: close", body=b"<html>"), reply(200, body=b"[]")
    receiver = await start(nursery, answers=[page, text])
    url = f"http://127.0.0.1:{receiver.port}"
    async with daemon(tmp_path) as running:
        for words in (("apps", "list"), ("lanes", "pause", "http://a:80")):
            told = await run(running, *words, "--url", url, status=1)
            assert told.stderr == "Error: 200 Whatever: not the admin listener of a tocsin?\n"
        nursery.cancel_scope.cancel()


async def test_an_app_that_is_not_guarded(tmp_path: Path) -> None:
    """There may be one all the same (PU-48)."""
    async with daemon(tmp_path) as running:
        told = await run(running, "apps", "clear", "com.example.app", status=1)
        why = "is not guarded, or no app; `tocsin apps list` shows them"
        assert told.stderr == f"Error: com.example.app {why}\n"


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b", "http://:80"])
@pytest.mark.parametrize("command", ["apps list", "publish u {} --service sms"])
def test_urls_that_are_none(command: str, url: str) -> None:
    """Bad usage (OP-3)."""
    words = [*command.split(), "--token", "x", "--url", url]
    result = CliRunner().invoke(tocsin, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--url must be of the form" in result.stderr
