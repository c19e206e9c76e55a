"""Addresses and files that cannot be where the configuration has them (OP-6, OP-8).

What is there is looked at, nothing is made: a directory that is not there yet is no mistake, and
neither is what only somebody else may see.
"""

import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tocsin.server.addresses import (
    Address,
    SystemdAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
)
from tocsin.server.settings import ListenSettings

if TYPE_CHECKING:
    from tocsin.config.settings import Config

MEMORY = ":memory:"
ADDRESSES_FILE = "listen.json"
NOWHERE = "is relative, and the working directory cannot be found; write the whole path"


def check_listen(listen: ListenSettings) -> list[str]:
    """Addresses that are wanted twice, and files in the way of sockets."""
    problems: list[str] = []
    before: list[tuple[str, str, Address]] = []
    for option, text in _addresses(listen):
        address = parse_address(text)
        problems += [
            f"{option}: {text} is taken by {other} of {owner}"
            for owner, other, one in before
            if _collide(one, address)
        ]
        if isinstance(address, UnixAddress) and _is_no_socket(address.path):
            problems.append(f"{option}: {address.path} is there, and is no socket")
        before.append((option, text, address))
    return problems


def check_state_dir(config: "Config") -> list[str]:
    """What the daemon keeps beside the store needs a directory."""
    if _is_nowhere(config.state_dir):
        return [f"state_dir: {NOWHERE}"]
    blocker = _in_the_way_of(Path(config.state_dir))
    return [] if blocker is None else [f"state_dir: {blocker} is no directory"]


def check_store(config: "Config") -> list[str]:
    """The store needs a file of its own."""
    path = config.store.path
    if path == MEMORY:
        return ["store.path: must be a file; what is in memory is lost with the process"]
    if _is_nowhere(path):
        return [f"store.path: {NOWHERE}"]
    file = Path(path).absolute()
    if os.path.isdir(file):
        return [f"store.path: {path} is a directory; name a file in it"]
    if (blocker := _in_the_way_of(file.parent)) is not None:
        return [f"store.path: {blocker} is no directory"]
    if _is_nowhere(config.state_dir):
        return []
    state = Path(config.state_dir).absolute()
    if file in {state, *state.parents, state / ADDRESSES_FILE}:
        return [f"store.path: {path} is needed for state_dir; name another file"]
    return []


def _addresses(listen: ListenSettings) -> Iterator[tuple[str, str]]:
    for option, texts in (("listen.public", listen.public), ("listen.admin", listen.admin)):
        for text in [texts] if isinstance(texts, str) else texts:
            yield option, text


def _collide(one: Address, other: Address) -> bool:
    """Whether only one of them can be had. Names are not looked up."""
    if isinstance(one, TcpAddress) and isinstance(other, TcpAddress):
        return one.port == other.port != 0 and _are_same_host(one.host, other.host)
    if isinstance(one, UnixAddress) and isinstance(other, UnixAddress):
        return os.path.realpath(one.path) == os.path.realpath(other.path)
    return isinstance(one, SystemdAddress) and one == other


def _are_same_host(one: str, other: str) -> bool:
    try:
        a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()
    return a == b or (a.version == b.version and (a.is_unspecified or b.is_unspecified))


def _is_no_socket(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _is_nowhere(path: str) -> bool:
    """Whether it starts at a directory that was deleted, or is out of reach."""
    try:
        Path(path).absolute()
    except OSError:
        return True
    return False


def _in_the_way_of(directory: Path) -> Path | None:
    """What stands where a directory is to be, or one above it."""
    above = (one for one in (directory, *directory.parents) if os.path.lexists(one))
    nearest = next(above, None)
    return None if nearest is None or os.path.isdir(nearest) else nearest
