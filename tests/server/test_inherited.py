"""tocsin.server.inherited: what systemd passes; the sockets themselves are in test_listener."""

import os

import pytest

from tocsin.server.inherited import passed_as, unclaimed
from tocsin.server.settings import ListenSettings


@pytest.mark.parametrize(
    ("public", "admin", "left"),
    [
        ("127.0.0.1:80", "127.0.0.1:81", ["admin", "public"]),
        ("systemd:public", "127.0.0.1:81", ["admin"]),
        (["127.0.0.1:80", "systemd:public"], "systemd:admin", []),
    ],
)
def test_sockets_nobody_asked_for(public: str | list[str], admin: str, left: list[str]) -> None:
    """What systemd passed and no option names is told, for who connects there waits for ever."""
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "admin:public",
    }
    listen = ListenSettings(public=public, admin=admin)
    assert unclaimed(listen, environ) == left
    assert unclaimed(listen, {}) == []


@pytest.mark.parametrize(
    ("changes", "descriptors"),
    [
        ({}, [4, 5]),
        ({"LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "many"}, []),
        ({"LISTEN_FDS": "2"}, [4]),
        ({"LISTEN_FDNAMES": "public"}, [3]),
    ],
)
def test_by_name(changes: dict[str, str], descriptors: list[int]) -> None:
    """A name may be that of several, one that is not said is that of none; what is meant for
    another process counts for nothing (sd_listen_fds(3))."""
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "3",
        "LISTEN_FDNAMES": "admin:public:public",
        **changes,
    }
    assert passed_as("public", environ) == descriptors
