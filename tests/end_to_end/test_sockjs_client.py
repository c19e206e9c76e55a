"""The public SockJS client against the test services: in Node, and in a page of another origin."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.end_to_end.browser import open_page
from tests.end_to_end.sockjs_client import install, refusing_websockets, script_server
from tests.fakes.raw_http import RawWebSocket, fetch

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
BOUND = 60
IN_NODE = ["websocket", "xhr-streaming", "xhr-polling", "eventsource"]
EVENTS = ("opened", "odd", "many", "large", "heartbeat", "left", "closed")
IN_A_PAGE = [
    *IN_NODE,
    "iframe-eventsource",
    "iframe-xhr-polling",
    "iframe-htmlfile",
    "jsonp-polling",
]


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the client is installed in."""
    return install(tmp_path_factory.mktemp("sockjs-client"))


@asynccontextmanager
async def services(*options: str) -> AsyncIterator[tuple[str, trio.Process]]:
    """The process of the test services, and where it listens."""
    common = ("--port", "0", "--disconnect", "20")
    command = [sys.executable, "-m", "tests.sockjs_services", *common, *options]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        with trio.fail_after(BOUND):
            ready = b""
            while not ready.endswith(b"\n"):
                ready += await process.stdout.receive_some() or b"ended\n"
        word, address = ready.decode().split()
        assert word == "ready"
        yield address, process
    finally:
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + BOUND):
            await process.wait()


def check(reports: list[dict[str, Any]], transport: str) -> None:
    """What every client has to report, in order (`pages/conversation.js`)."""
    by_event = {one.pop("event"): one for one in reports}
    assert tuple(by_event) == EVENTS
    assert by_event["opened"]["transport"] == transport
    for name, count in (("odd", 9), ("many", 300), ("large", 1)):
        assert by_event[name] == {"same": True, "wrong": 0, "count": count}
    assert by_event["left"]["code"] == 1000
    assert by_event["closed"] == {"code": 3000, "reason": "Go away!", "wasClean": True}


async def in_node(folder: Path, address: str, *transports: str) -> list[dict[str, Any]]:
    """What the client reports from Node."""
    script = Path(__file__).parent / "sockjs" / "client.js"
    with trio.fail_after(BOUND):
        done = await trio.run_process(
            ["node", str(script), f"http://{address}", *transports],
            cwd=folder,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("transport", IN_NODE)
async def test_in_node(client: Path, transport: str) -> None:
    """SJ-12, SJ-13, SJ-15, SJ-26, SJ-27, SJ-32: odd strings, 300 messages across the response
    limit, 64 KiB, heartbeats and close codes, on every transport the client has there."""
    async with services("--heartbeat", "0.5") as (address, _process):
        check(await in_node(client, address, transport), transport)


async def test_falling_back_in_node(client: Path) -> None:
    """SJ-5: where upgrades do not get through, the client takes the next transport."""
    async with (
        services("--heartbeat", "0.5") as (address, _process),
        refusing_websockets(address) as proxy,
    ):
        check(await in_node(client, proxy), "xhr-streaming")


@pytest.mark.parametrize("transport", IN_A_PAGE)
async def test_in_a_page(
    client: Path, tmp_path: Path, nursery: trio.Nursery, chromium: str, transport: str
) -> None:
    """SJ-7, SJ-37, SJ-39: the same in Chromium, cross-origin, on every transport it offers."""
    async with (
        script_server(client) as script,
        services("--heartbeat", "0.5", "--sockjs-url", script) as (address, _process),
        open_page(
            nursery,
            chromium,
            tmp_path,
            "sockjs.html",
            base=f"http://{address}",
            script=script,
            transports=transport,
        ) as page,
    ):
        check([await page.report(event) for event in EVENTS], transport)


async def test_falling_back_in_a_page(
    client: Path, tmp_path: Path, nursery: trio.Nursery, chromium: str
) -> None:
    """SJ-5: the same behind a proxy that refuses WebSockets."""
    async with (
        script_server(client) as script,
        services("--heartbeat", "0.5") as (address, _process),
        refusing_websockets(address) as proxy,
        open_page(
            nursery, chromium, tmp_path, "sockjs.html", base=f"http://{proxy}", script=script
        ) as page,
    ):
        check([await page.report(event) for event in EVENTS], "xhr-streaming")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("engine", ["reactor", "trio-websocket"])
async def test_the_process(stop: signal.Signals, engine: str) -> None:
    """SJ-40 to SJ-43: options on the command line, one line when it listens, status 0 when told to
    end, its clients told 1012 first."""
    async with services("--engine", engine, "--token", "T") as (address, process):
        assert address.startswith("127.0.0.1:")
        assert (await fetch(address, "GET", "/echo/info")).status == 401
        socket = await RawWebSocket.open(address, "/echo/0/0/websocket?access_token=T")
        assert await socket.text() == "o"
        process.send_signal(stop)
        assert await socket.text() == 'c[1012,"Service restart"]'
        assert await socket.frame() == ("close", (1012, "Service restart"))
        await socket.aclose()
        with trio.fail_after(BOUND):
            assert await process.wait() == 0
