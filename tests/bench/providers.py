"""Push providers as processes on this machine: ours, node's HTTP/2, Debian's nghttpd."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import trustme
from tests.bench.processes import child, free_port, hear, python, tell
from tests.bench.provider import Report

PEER = Path(__file__).parents[1] / "end_to_end/peers/h2_peer.js"
PROGRAMS = "/usr/bin:/usr/sbin:/usr/local/bin"
STREAMS = 1000
PATIENCE = 5.0
LOOK = 0.02


@attrs.frozen
class Certificates:
    """A key, a certificate for `localhost` and who signed it, in files."""

    key: str
    chain: str
    authority: str

    @classmethod
    def write(cls, folder: Path) -> Self:
        """New ones, in a new folder."""
        folder.mkdir()
        found = cls(*(str(folder / name) for name in ("key.pem", "chain.pem", "authority.pem")))
        signer = trustme.CA()
        leaf = signer.issue_cert("localhost")
        leaf.private_key_pem.write_to_path(found.key)
        leaf.cert_chain_pems[0].write_to_path(found.chain)
        signer.cert_pem.write_to_path(found.authority)
        return found


def has(program: str) -> bool:
    """Whether it is installed."""
    return shutil.which(program, path=PROGRAMS) is not None


class Provider:
    """See tests.bench.provider."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._arrivals: dict[str, int] = {}
        self.port = int(hear(process))

    def report(self) -> Report:
        """What came since the last report."""
        tell(self._process, "report")
        return Report(**json.loads(hear(self._process)))

    def expect(self, ids: Sequence[str], seconds: float) -> dict[str, int]:
        """When each push was there so far; SystemExit if these do not come within the time."""
        deadline = time.monotonic() + seconds
        missing = set(ids)
        while missing and time.monotonic() < deadline:
            self._arrivals |= self.report().arrivals
            missing -= self._arrivals.keys()
            time.sleep(LOOK)
        if missing:
            raise SystemExit(f"{len(missing)} of {len(ids)} pushes have not come")
        return self._arrivals


@contextlib.contextmanager
def ours(certificates: Certificates, *, delay: float = 0) -> Iterator[Provider]:
    """It answers so many seconds later."""
    arguments = (certificates.key, certificates.chain, str(delay))
    with child(*python("tests.bench.provider", *arguments)) as process:
        yield Provider(process)


class Node:
    """The peer of the end-to-end tests; its head says what it understands."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.port = int(self._next("listening")["port"])

    def report(self) -> dict[str, Any]:
        """What it has seen so far."""
        tell(self._process, '{"do": "report"}')
        return self._next("report")

    def _next(self, event: str) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = json.loads(hear(self._process))
            if found["event"] == event:
                return found


@contextlib.contextmanager
def node(certificates: Certificates, *options: str) -> Iterator[Node]:
    """Started with these options."""
    files = ("--key", certificates.key, "--cert", certificates.chain)
    with child("node", str(PEER), *files, *options) as process:
        yield Node(process)


@contextlib.contextmanager
def nghttpd(certificates: Certificates, root: Path) -> Iterator[int]:
    """One that gives out the files of this folder, to whoever posts, too; its port."""
    port = free_port()
    bounds = ["--address=127.0.0.1", f"--max-concurrent-streams={STREAMS}", f"--htdocs={root}"]
    command = ["nghttpd", *bounds, str(port), certificates.key, certificates.chain]
    path = {"PATH": PROGRAMS}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=path) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise SystemExit("nghttpd does not listen")
