"""`tocsin token revoke` and `revocations` against a daemon in this process (OP-3, SE-3)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog
import trio
from click.testing import CliRunner, Result
from tests.fakes.daemon import CHANNELS, Daemon, daemon, token

from tocsin.cli.main import tocsin


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The daemon's log would go to the standard output that a command under test has."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


async def run(running: Daemon, *words: str, stdin: str = "", status: int = 0) -> Result:
    """What a command prints, in a thread of its own."""
    environ = {
        "TOCSIN_URL": f"http://{running.app.admin_addresses[0]}",
        "TOCSIN_TOKEN": token("root", "admin", jti="root", client_id="ops"),
    }
    result = await trio.to_thread.run_sync(
        lambda: CliRunner(env=environ).invoke(tocsin, ["token", *words], input=stdin)
    )
    assert result.exit_code == status, (result.output, result.stderr)
    return result


async def test_a_token(tmp_path: Path) -> None:
    """As an argument or from standard input; it is refused from then on, and printed nowhere."""
    async with daemon(tmp_path) as running:
        for number, from_stdin in enumerate((False, True)):
            mine = token(jti=f"j{number}")
            words = ("revoke", "-" if from_stdin else mine)
            result = await run(running, *words, stdin=f"{mine}\n")
            assert result.stdout.split() == ["revoked", "token"]
            assert (await running.get(CHANNELS, bearer=mine)).status == 401


async def test_by_name(tmp_path: Path) -> None:
    """An id, a user, a client, a subscriber; listed with what they were named by, in columns and
    as JSON."""
    async with daemon(tmp_path) as running:
        words = ("--subscriber", "12", "--domain", "acme", "--json")
        named = await run(running, "revoke", *words)
        assert orjson.loads(named.stdout) == {"revoked": "12"}
        for option in ("jti", "user", "client"):
            named = await run(running, "revoke", f"--{option}", f"some-{option}", "--json")
            assert orjson.loads(named.stdout) == {"revoked": f"some-{option}"}
        listed = await run(running, "revocations", "--limit", "2")
        heading, *rows = listed.stdout.splitlines()
        assert heading.split() == ["by", "name", "at", "expires", "at"]
        assert [row.split()[:2] for row in rows] == [
            ["client", "some-client"],
            ["subscriber", "acme"],
        ]
        found = (await run(running, "revocations", "--json")).stdout.splitlines()
        by = [orjson.loads(line)["by"] for line in found]
        assert by == ["client", "subscriber", "jti", "user"]
        assert orjson.loads(found[1])["name"] == "acme 12"


async def test_what_is_refused(tmp_path: Path) -> None:
    """What can be no token: one line, status 1."""
    async with daemon(tmp_path) as running:
        result = await run(running, "revoke", "typo", status=1)
        assert result.stderr == "Error: 400 Invalid input value for message part token\n"


@pytest.mark.parametrize(
    "words",
    [
        *(("revoke",), ("revoke", "--user", "a", "--jti", "b"), ("revoke", "t", "--client", "c")),
        *(("revoke", "--subscriber", "a"), ("revoke", "t", "--domain", "d")),
    ],
)
def test_bad_usage(words: tuple[str, ...]) -> None:
    """Exactly one of them: status 2 before anything is asked."""
    environ = {"TOCSIN_URL": "http://127.0.0.1:1", "TOCSIN_TOKEN": "x"}
    result = CliRunner(env=environ).invoke(tocsin, ["token", *words])
    assert (result.exit_code, result.stdout) == (2, "")
