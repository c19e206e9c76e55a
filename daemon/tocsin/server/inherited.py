"""Listening sockets that systemd has opened for this process (sd_listen_fds(3), OP-8, OP-14)."""

import os
from collections.abc import Mapping
from typing import Final

from tocsin.server.settings import ListenSettings

FIRST_INHERITED: Final = 3


def passed_as(name: str, environ: Mapping[str, str]) -> list[int]:
    """The descriptors of those with this `FileDescriptorName`."""
    return [fd for fd, one in enumerate(_names(environ), FIRST_INHERITED) if one == name]


def unclaimed(listen: ListenSettings, environ: Mapping[str, str]) -> list[str]:
    """The names of those that no listener asks for: who connects to one of them waits in vain."""
    asked_for = {
        address
        for option in (listen.public, listen.admin)
        for address in ([option] if isinstance(option, str) else option)
    }
    return [name for name in _names(environ) if f"systemd:{name}" not in asked_for]


def _names(environ: Mapping[str, str]) -> list[str]:
    """Of all that were passed to this very process, in their order."""
    passed = environ.get("LISTEN_FDS", "")
    for_us = environ.get("LISTEN_PID") == str(os.getpid())
    count = int(passed) if for_us and passed.isdecimal() else 0
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return [*names, *[""] * count][:count]
