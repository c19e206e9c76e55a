"""The public SockJS client, from its registry, for Node and for pages."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.end_to_end.browser import REQUIRED

HERE = Path(__file__).parent / "sockjs"
SCRIPT = Path("node_modules") / "sockjs-client" / "dist" / "sockjs.js"
PATIENCE = 300
# A registry is somebody else's machine.
COMMAND = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
RETRIES = ("--fetch-retries=6", "--fetch-retry-mintimeout=1000")


def install(folder: Path) -> Path:
    """Install what the lock file names; without Node or the registry the test is skipped, or
    fails where a browser is required."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _complain("there is no Node on this machine (Debian: apt-get install nodejs npm)")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder / name)
    command = [*COMMAND, *RETRIES]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        _complain("the registry does not answer")
    if done.returncode or not (folder / SCRIPT).is_file():
        _complain(f"npm could not install sockjs-client: {done.stderr.decode()[-500:]}")
    return folder


def _complain(reason: str) -> None:
    (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)(reason)


@asynccontextmanager
async def script_server(folder: Path) -> AsyncIterator[str]:
    """Serves the client's script, whatever is asked for; its URL."""
    content = (folder / SCRIPT).read_bytes()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )

    async def answer(stream: trio.SocketStream) -> None:
        try:
            if await stream.receive_some():
                await stream.send_all(head.encode() + content)
        except trio.BrokenResourceError:
            pass  # the browser has gone
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, answer, listeners)
        yield f"http://127.0.0.1:{port}/sockjs.js"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def refusing_websockets(address: str) -> AsyncIterator[str]:
    """A proxy in front of the services that lets everything through but upgrades; its address."""
    host, _, port = address.rpartition(":")

    async def relay(client: trio.SocketStream) -> None:
        async with client, await trio.open_tcp_stream(host, int(port)) as server:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_copy, server, client, nursery.cancel_scope)
                    await _copy_requests(client, server)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # either side has gone

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        own = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, relay, listeners)
        yield f"127.0.0.1:{own}"
        nursery.cancel_scope.cancel()


async def _copy(
    source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
) -> None:
    while data := await source.receive_some():
        await target.send_all(data)
    scope.cancel()


async def _copy_requests(client: trio.SocketStream, server: trio.SocketStream) -> None:
    while data := await client.receive_some():
        if b"\r\nupgrade: websocket" in data.lower():
            await client.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        await server.send_all(data)
