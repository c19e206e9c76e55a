"""tocsin as a service of a `Machine`, installed by the words of the guide."""

import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import trio
import trustme
from tests.end_to_end.daemon import BOUND, until
from tests.end_to_end.http_connection import Answer, HttpConnection
from tests.end_to_end.systemd_machine import UNITS, Machine
from tests.test_guide import blocks

ROOT = Path(__file__).parents[2]
CONFIG = "/etc/tocsin/tocsin.toml"
HOST = "push.example.com"
PUBLIC, ADMIN = 443, 9464
NOTED_LINES = 40
LOOK_EVERY = 0.25
# A client may have to wait for several starts of the daemon.
PATIENCE = 2 * BOUND


def told(language: str, words: str) -> str:
    """What the operators' guide has in this language, with these words in it."""
    [found] = [text for text in blocks(language, "README.md") if words in text]
    return found


def install(machine: Machine, authority: trustme.CA) -> None:
    """All that the guide has done before the start."""
    for unit in ("tocsin.service", "tocsin.socket"):
        machine.write(f"{UNITS}/{unit}", (ROOT / "systemd" / unit).read_text())
    leaf = authority.issue_cert(HOST)
    machine.write("/srv/fullchain.pem", leaf.cert_chain_pems[0].bytes().decode())
    machine.write("/srv/privkey.pem", leaf.private_key_pem.bytes().decode())
    machine.shell("ln -sf /opt/tocsin/bin/tocsin /usr/local/bin/tocsin")
    machine.shell(f"cd /srv\n{told('sh', 'groupadd')}")
    for text in (told("ini", "LoadCredential"), told("toml", "[listen]")):
        machine.write(text.split()[1], text)


async def until_systemd(condition: Callable[[], bool], what: str) -> None:
    """Look until the condition holds, but not all the time: to ask systemd takes a process."""
    end = trio.current_time() + BOUND
    while not condition():
        assert trio.current_time() < end, f"in {BOUND:.0f} s it did not come to this: {what}"
        await trio.sleep(LOOK_EVERY)


class Service:
    """tocsin.service, which runs when the block begins; a failure inside has the journal's end."""

    def __init__(self, machine: Machine, authority: trustme.CA) -> None:
        self.machine = machine
        self._tls = ssl.create_default_context()
        authority.configure_trust(self._tls)

    async def __aenter__(self) -> Self:
        self.configure()
        self.systemctl("start", "tocsin.socket", "tocsin")
        await until(self.is_ready, "it is ready")
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note("\n".join(self.journal("--unit=tocsin").splitlines()[-NOTED_LINES:]))

    # -- its operator --------------------------------------------------------------------------

    def configure(self, more: str = "") -> None:
        """The guide's configuration, with more tables at its end."""
        self.machine.write(CONFIG, f"{told('toml', '[listen]')}{more}")

    def systemctl(self, *words: str) -> None:
        """What has to go well."""
        done = self.machine.run("systemctl", *words)
        assert done.returncode == 0, done.stderr

    def shows(self, name: str) -> str:
        """One property of the service."""
        return self.machine.shell(f"systemctl show --value --property={name} tocsin").strip()

    def journal(self, *options: str) -> str:
        """What was logged, without systemd's own columns."""
        show = f"journalctl --output=cat --no-pager {' '.join(options)}"
        return self.machine.shell(f"journalctl --sync\n{show}")

    @property
    def pid(self) -> str:
        """That of the daemon, as its machine knows it."""
        return self.shows("MainPID")

    def process(self, file: str) -> str:
        """What its kernel says of the daemon."""
        return self.machine.shell(f"cat /proc/{self.pid}/{file}")

    async def is_another(self, pid: str) -> None:
        """Wait until it serves again as another process than this one."""
        await until_systemd(lambda: self.pid not in ("0", pid), "it is started again")
        await until(self.is_ready, "it is ready again")

    # -- its clients ---------------------------------------------------------------------------

    async def connect(self, port: int) -> trio.SocketStream:
        """A connection to one of its ports."""
        sock = trio.socket.from_stdlib_socket(self.machine.socket())
        try:
            await sock.connect(("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def is_ready(self) -> bool:
        """Whether `/readyz` is green."""
        try:
            async with await self.connect(ADMIN) as stream:
                return (await HttpConnection(stream).request("GET", "/readyz")).status == 200
        except OSError:
            return False

    async def ask(
        self, method: str, path: str, document: object = None, *, bearer: str = ""
    ) -> Answer:
        """A request to the public listener, over TLS; ConnectionError without an answer."""
        headers = {"Content-Type": "application/json"} if document is not None else {}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        body = b"" if document is None else orjson.dumps(document)
        with trio.fail_after(PATIENCE):
            plain = await self.connect(PUBLIC)
            async with trio.SSLStream(plain, self._tls, server_hostname=HOST) as stream:
                try:
                    await stream.do_handshake()
                except trio.BrokenResourceError as error:
                    raise ConnectionError("broken at the handshake") from error
                return await HttpConnection(stream).request(method, path, body, headers)

    async def refuses_the_nameless(self) -> bool:
        """Whether a request without a token is answered as it should be."""
        return (await self.ask("POST", "/v1/notifications")).status == 401
