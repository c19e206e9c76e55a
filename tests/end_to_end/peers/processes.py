"""HTTP/2 servers of others as processes on loopback, with certificates for `localhost`."""

import json
import os
import shutil
import ssl
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
import trio
import trustme
from tests.fakes.ports import reserved_port

from tocsin.transports.push.tls import Origin, client_context

HERE = Path(__file__).parent
PLACES = "/usr/bin:/usr/sbin:/usr/local/bin"
REQUIRED = "TOCSIN_REQUIRE_PEERS"


@attrs.frozen
class Certificates:
    """A server's certificate and who signed it, in files."""

    key: str
    chain: str
    authority: str

    @classmethod
    def write(cls, folder: Path) -> Self:
        """New ones."""
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        found = cls(*(str(folder / name) for name in ("key.pem", "chain.pem", "authority.pem")))
        leaf.private_key_pem.write_to_path(found.key)
        leaf.cert_chain_pems[0].write_to_path(found.chain)
        authority.cert_pem.write_to_path(found.authority)
        return found

    @property
    def client(self) -> ssl.SSLContext:
        """For whoever dials."""
        return client_context(self.authority)


class NodePeer:
    """`h2_peer.js`; its head says what it understands."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._unread = b""
        self.origin = Origin("localhost", 0)

    @classmethod
    async def start(
        cls, nursery: trio.Nursery, certificates: Certificates, *options: str
    ) -> "NodePeer":
        """Run it until the nursery is cancelled; skips the test where there is no node."""
        command = [require("node", "nodejs"), str(HERE / "h2_peer.js"), *options]
        command += ["--key", certificates.key, "--cert", certificates.chain]
        run = partial(trio.run_process, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        peer = cls(await nursery.start(run, command))
        peer.origin = Origin("localhost", (await peer.next("listening"))["port"])
        return peer

    async def tell(self, do: str, **arguments: Any) -> None:
        """Have it do something."""
        await self._stdin.send_all(json.dumps({"do": do, **arguments}).encode() + b"\n")

    async def report(self) -> dict[str, Any]:
        """What it has seen so far."""
        await self.tell("report")
        return await self.next("report")

    async def next(self, event: str) -> dict[str, Any]:
        """The next event of this kind; others are passed over."""
        while True:
            while b"\n" not in self._unread:
                piece = await self._stdout.receive_some()
                assert piece, "it has ended"
                self._unread += piece
            line, self._unread = self._unread.split(b"\n", 1)
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event:
                return found


async def start_nghttpd(nursery: trio.Nursery, certificates: Certificates, *options: str) -> Origin:
    """Debian's nghttpd, until the nursery is cancelled; skips the test where there is none.

    It may not listen yet: a pool dials until it does.
    """
    command = [require("nghttpd", "nghttp2-server"), "--address=127.0.0.1", *options]
    files = [certificates.key, certificates.chain]

    async def run(*, task_status: trio.TaskStatus[int]) -> None:
        with reserved_port() as port:
            task_status.started(port)
            await trio.run_process([*command, str(port), *files], stdout=subprocess.DEVNULL)

    return Origin("localhost", await nursery.start(run))


def require(program: str, package: str) -> str:
    """Its path; without it the test is skipped, or fails where such peers are required."""
    found = shutil.which(program, path=PLACES)
    if found is None:
        complain = pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip
        complain(f"there is no `{program}` on this machine (Debian: apt-get install {package})")
    return found
