"""Which WebSocket engine the daemon takes (architecture: data plane)."""

import select
import subprocess
import sys

import pytest

from tocsin.app.parts import websocket_engine
from tocsin.model.errors import StartupError
from tocsin.server.reactor import Reactor
from tocsin.server.trio_engine import TrioWebSocketEngine
from tocsin.server.websocket import WsSettings


@pytest.mark.parametrize(
    ("wanted", "has_epoll", "taken"),
    [
        ("auto", True, Reactor),
        ("auto", False, TrioWebSocketEngine),
        ("reactor", True, Reactor),
        ("trio-websocket", True, TrioWebSocketEngine),
        ("trio-websocket", False, TrioWebSocketEngine),
    ],
)
def test_engines(
    monkeypatch: pytest.MonkeyPatch, wanted: str, has_epoll: bool, taken: type
) -> None:
    """The configured one; by default the reactor wherever it can run."""
    monkeypatch.setattr(select, "epoll", object(), raising=False)
    if not has_epoll:
        monkeypatch.delattr(select, "epoll")
    assert type(websocket_engine(WsSettings(engine=wanted))) is taken


def test_a_reactor_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who insists on what the system does not have is told so at the start."""
    monkeypatch.delattr(select, "epoll", raising=False)
    with pytest.raises(StartupError, match="needs epoll"):
        websocket_engine(WsSettings(engine="reactor"))


def test_a_system_without_epoll_can_start() -> None:
    """Nothing but a reactor that is made looks for what only Linux has in `select`."""
    script = """
import trio, select
for name in [name for name in vars(select) if name.lower().startswith("epoll")]:
    delattr(select, name)
import tocsin.app.parts
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
