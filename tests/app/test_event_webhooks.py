"""What the configuration names is called like any other webhook (PU-74)."""

import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes.daemon import Daemon, daemon

FORBIDDEN = "inside.example"


async def last_attempt(running: Daemon) -> dict[str, object] | None:
    """The latest line in the log of the one webhook there is."""
    address = running.app.admin_addresses[0]
    page = await running.ask("GET", "/admin/v1/channels", address=address, scope="admin")
    for channel in page.json["channels"]:
        path = f"/admin/v1/deliveries?channel={channel['id']}"
        log = await running.ask("GET", path, address=address, scope="admin")
        for attempt in log.json["attempts"]:
            return dict(attempt)
    return None


async def test_an_operators_webhook_is_guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of our own network is not connected to, whoever named it; the event waits."""
    known = socket.getaddrinfo

    def resolve(host: str, *more: Any, **options: Any) -> Any:
        return known("127.0.0.1" if host == FORBIDDEN else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"https://{FORBIDDEN}:65535/events"
    tables = {"operator": {"webhook_url": url}, "webhooks": {"allow_networks": []}}
    async with daemon(tmp_path, **tables) as running:
        with trio.fail_after(30):
            while (attempt := await last_attempt(running)) is None:  # noqa: ASYNC110 - from outside
                await trio.sleep(0.01)
    assert (attempt["result"], attempt["reason"]) == ("deferred", "blocked_address")
