"""The daemon under test: a real process on free ports of loopback, with a store of its own."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 20.0
LIFETIME = 3600
# Everything is on as by default; only the bounds that protect one user from another are raised.
CONFIGURATION = """
state_dir = "{folder}"
[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[store]
path = "{folder}/tocsin.db"
{store}
[auth]
shared_secret = "{secret}"
[limits]
rate = 0
channels_per_user = 60000
subscriptions_per_user = 60000
buffer_count = 100000
buffer_bytes = 100000000
[ws]
max_connections_per_user = 50000
{sockets}
[webhooks]
allow_http = ["127.0.0.1"]
allow_networks = ["127.0.0.0/8"]
signing_secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
lane_width = 64
[delivery]
lane_window = 512
[drain]
window = 0
"""


@attrs.frozen
class Daemon:
    """One running daemon."""

    process: subprocess.Popen[bytes]
    port: int
    secret: str

    def cpu_seconds(self) -> float:
        """Processor time so far, all threads, in user space and in the kernel."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        """Memory it holds."""
        return resident_bytes(self.process.pid)

    def token(self, user: str, scope: str = "channels") -> str:
        """A token the daemon accepts."""
        claims = {"sub": user, "preferred_username": user, "scope": scope}
        return mint(claims, shared_secret(self.secret), now=time.time(), lifetime=LIFETIME)

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


def resident_bytes(process: int | str) -> int:
    """Memory a process holds; `self` is this one."""
    status = Path(f"/proc/{process}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def running(
    folder: Path,
    sockets: str = "",
    more: str = "",
    store: str = "",
    patience: float = PATIENCE,
) -> Iterator[Daemon]:
    """Start one and wait until it serves; ended and reaped at the end. Its folder is a new one,
    or has a store in it.

    `sockets` are further lines of `[ws]`, `store` of `[store]`, `more` further sections; it has
    `patience` seconds to start.
    """
    folder.mkdir(exist_ok=True)
    (folder / "listen.json").unlink(missing_ok=True)
    secret = secrets.token_urlsafe(48)
    config = folder / "tocsin.toml"
    text = CONFIGURATION.format(folder=folder, secret=secret, sockets=sockets, store=store)
    config.write_text(text + more)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tocsin", "serve", "--config", str(config)],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield Daemon(process, _wait_for_port(process, folder, patience), secret)
        finally:
            _end(process)


def _wait_for_port(process: subprocess.Popen[bytes], folder: Path, patience: float) -> int:
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            addresses = json.loads((folder / "listen.json").read_text())
            return int(addresses["public"][0].rpartition(":")[2])
        time.sleep(0.02)
    raise SystemExit("the daemon did not start:\n" + (folder / "log").read_text()[-2000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
