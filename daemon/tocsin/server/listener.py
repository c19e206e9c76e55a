"""Sockets that listen, and the loop that accepts (OP-8)."""

import contextlib
import errno
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import orjson
import trio

from tocsin.model.errors import StartupError
from tocsin.server.addresses import (
    Address,
    AddressError,
    SystemdAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
    write_tcp,
)
from tocsin.server.inherited import passed_as
from tocsin.server.limits import ConnectionGate, Lease
from tocsin.server.peers import normal_address

BACKLOG: Final = 4096
ACCEPTS_PER_TURN: Final = 64
PAUSE: Final = 0.1
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# The listening socket itself is broken; every other error belongs to a connection that went away.
BROKEN: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EFAULT})
HINTS: Final = {
    errno.EACCES: "below port 1024 have systemd listen, see systemd/tocsin.socket, or a proxy",
    errno.EADDRINUSE: "see with `ss -ltnp` who listens there",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}

Handler = Callable[[socket.socket, str, Lease], Coroutine[Any, Any, None]]


@attrs.define(eq=False)
class Listener:
    """A bound, listening, non-blocking socket and its address as bound."""

    sock: socket.socket
    address: str
    _own_path: str | None = None
    paused: int = 0

    def close(self) -> None:
        """Stop listening; a Unix socket's file goes too, unless it came from systemd."""
        self.sock.close()
        if self._own_path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._own_path)


def open_listeners(
    addresses: str | Sequence[str],
    *,
    unix_mode: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Listener]:
    """Bind every address, or none. `unix_mode` is what the files of Unix sockets get.

    Raises StartupError with one line: a bad address, a port that is taken, no permission, no such
    socket from systemd.
    """
    listeners: list[Listener] = []
    try:
        for text in [addresses] if isinstance(addresses, str) else addresses:
            listeners += _open(text, unix_mode, os.environ if environ is None else environ)
    except (OSError, AddressError) as error:
        _close_all(listeners)
        raise StartupError(f"cannot listen on {text}: {_reason(error)}") from None
    except StartupError:
        _close_all(listeners)
        raise
    return listeners


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    hint = HINTS.get(error.errno or 0)
    return error.strerror + (f" ({hint})" if hint else "")


async def serve(
    listeners: Sequence[Listener],
    handler: Handler,
    *,
    gate: ConnectionGate,
    handler_nursery: trio.Nursery,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept until cancelled; each connection is a task `handler(sock, peer, lease)`.

    The tasks live in `handler_nursery`, so that accepting can end before they do. `handler` owns
    the socket and the lease. Connections over the gate's bounds are closed at once. The listeners
    are closed on the way out.
    """
    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(_accept_loop, listener, handler, gate, handler_nursery)
            task_status.started()
    finally:
        _close_all(listeners)


def write_addresses(path: Path, addresses: Mapping[str, Sequence[str]]) -> None:
    """Write `listen.json`, for whoever wants to find the daemon; readers never see half of it."""
    content = orjson.dumps(
        {name: list(bound) for name, bound in addresses.items()},
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(content)
    os.replace(new.name, path)


async def _accept_loop(
    listener: Listener, handler: Handler, gate: ConnectionGate, nursery: trio.Nursery
) -> None:
    while True:
        await trio.lowlevel.wait_readable(listener.sock)
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in BROKEN:
                    raise
                if error.errno in EXHAUSTED:
                    # The connection stays in the backlog and the socket readable: do not spin.
                    listener.paused += 1
                    await trio.sleep(PAUSE)
                    break
                continue
            _admit(sock, address, handler, gate, nursery)


def _admit(
    sock: socket.socket,
    address: Any,
    handler: Handler,
    gate: ConnectionGate,
    nursery: trio.Nursery,
) -> None:
    peer = normal_address(address[0]) if isinstance(address, tuple) else ""
    lease = gate.admit(peer)
    if lease is None:
        sock.close()
        return
    sock.setblocking(False)
    nursery.start_soon(handler, sock, peer, lease)


def _open(text: str, unix_mode: int | None, environ: Mapping[str, str]) -> list[Listener]:
    address: Address = parse_address(text)
    match address:
        case TcpAddress():
            return [_open_tcp(address)]
        case UnixAddress():
            return [_open_unix(address.path, unix_mode)]
        case SystemdAddress():
            return _inherit(address.name, environ)


def _open_tcp(address: TcpAddress) -> Listener:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, name = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        return _listening(sock)
    except OSError:
        sock.close()
        raise


def _open_unix(path: str, mode: int | None) -> Listener:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        if mode is not None:
            os.chmod(path, mode)  # before it listens: nobody has connected yet
        return _listening(sock, own_path=path)
    except OSError:
        sock.close()
        raise


def _remove_stale(path: str) -> None:
    """Remove a socket file nobody answers on; anything else is left, and binding fails."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:
            return  # somebody is there, and busy


def _inherit(name: str, environ: Mapping[str, str]) -> list[Listener]:
    listeners = []
    for fd in passed_as(name, environ):
        os.set_inheritable(fd, False)
        listeners.append(_listening(socket.socket(fileno=fd)))
    if not listeners:
        raise StartupError(
            f"cannot listen on systemd:{name}: systemd passed no socket of that name "
            f"(is tocsin.socket started, with FileDescriptorName={name}?)"
        )
    return listeners


def _listening(sock: socket.socket, *, own_path: str | None = None) -> Listener:
    if sock.family != socket.AF_UNIX:
        # Accepted sockets inherit it on Linux, which saves a system call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    name = sock.getsockname()
    address = write_tcp(name[0], name[1]) if isinstance(name, tuple) else f"unix:{name}"
    return Listener(sock, address, own_path)


def _close_all(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.close()
