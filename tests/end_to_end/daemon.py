"""The real daemon as a child process on loopback, for the end-to-end tests.

    async with Daemon(tmp_path, {"ws.window": 20}) as daemon:
        ...
        await daemon.kill()
        await daemon.start()

Each start takes free ports, so ask for `public` and `admin` (host:port) again after one; those of
the last one are nobody's till then. State and store stay in the folder. However the block ends, the
process has ended too; a failure inside it carries the end of the daemon's log as a note.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trio
from tests.end_to_end.http_connection import Answer, get, http_connection
from tests.fakes.described import listens, listens_no_more
from tests.fakes.ports import kept_port

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

SECRET = "an end-to-end secret of more than 32 bytes"
# Far more than anything takes, on a machine with other things to do: only a hang gets there.
BOUND = 60.0
LOOK_EVERY = 0.01
NOTED_BYTES = 8192


def token(user: str, scope: str = "channels") -> str:
    """A token the daemon accepts, signed with the shared secret of its configuration."""
    claims = {"sub": user, "preferred_username": user, "client_id": "e2e", "scope": scope}
    return mint(claims, shared_secret(SECRET), now=time.time(), lifetime=3600)


async def until(
    condition: Callable[[], Awaitable[object] | object], what: str, *, bound: float = BOUND
) -> None:
    """Look until the condition holds; AssertionError saying `what` if it never does."""
    with trio.move_on_after(bound):
        while True:
            answer = condition()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return
            await trio.sleep(LOOK_EVERY)
    raise AssertionError(f"in {bound:.0f} s it did not come to this: {what}")


def write_config(file: Path, settings: Mapping[str, object]) -> Path:
    """A TOML file of dotted keys; JSON's scalars and lists are TOML's too."""
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
    file.write_text("".join(lines))
    return file


def defaults(folder: Path) -> dict[str, object]:
    """Settings for a daemon that lives in this folder and may call webhooks on loopback."""
    return {
        "state_dir": str(folder / "state"),
        "listen.public": "127.0.0.1:0",
        "listen.admin": "127.0.0.1:0",
        "store.path": str(folder / "state" / "tocsin.db"),
        "auth.shared_secret": SECRET,
        "limits.rate": 0,
        "webhooks.allow_http": ["127.0.0.1"],
        "webhooks.allow_networks": ["127.0.0.0/8"],
        "drain.window": 0.2,
    }


def command(*arguments: str) -> list[str]:
    """The command line of a `tocsin` command."""
    return [sys.executable, "-m", "tocsin", *arguments]


def environment() -> dict[str, str]:
    """Ours, without what would change the daemon's configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}


class Daemon:
    """`tocsin serve` with the default settings, changed by `settings` (dotted keys)."""

    def __init__(
        self, folder: Path, settings: Mapping[str, object] | None = None, *arguments: str
    ) -> None:
        """`arguments` are further ones of `serve`."""
        self.folder = folder
        self.config = write_config(folder / "tocsin.toml", {**defaults(folder), **(settings or {})})
        self.public = ""
        self.admin = ""
        self._arguments = arguments
        self._log = folder / "daemon.log"
        self._process: trio.Process | None = None
        self._kept_ports = ExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_exit(self)
            await self.start()
            on_failure.pop_all()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + BOUND), self._kept_ports:
            await self.kill()
        if error is not None and self._log.exists():
            error.add_note(f"The daemon's log ends:\n{self.log[-NOTED_BYTES:]}")

    # -- the process ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        addresses = self.folder / "state" / "listen.json"
        addresses.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                command("serve", "--config", str(self.config), *self._arguments),
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=self.folder,
            )
        await until(lambda: self._ended or addresses.exists(), "the daemon listens")
        assert not self._ended, "the daemon ended instead of starting"
        bound = json.loads(addresses.read_text())
        self.public, self.admin = bound["public"][0], bound["admin"][0]
        listens(self.config, self.public, self.admin)
        self._kept_ports.close()
        await until(self.is_ready, "the daemon is ready")

    @property
    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    async def kill(self) -> None:
        """SIGKILL; returns when the process is no more."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
        self._keep_ports()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.signal(signal.SIGTERM)

    async def exit_status(self) -> int:
        """Wait for the end that was asked for."""
        assert self._process is not None
        with trio.move_on_after(BOUND):
            status = await self._process.wait()
            self._keep_ports()
            return status
        raise AssertionError(f"the daemon still runs {BOUND:.0f} s after it was told to end")

    def _keep_ports(self) -> None:
        """Clients that do not know yet call where it was: nobody else is to be there."""
        listens_no_more(self.config)
        self._kept_ports.close()
        for address in filter(None, (self.public, self.admin)):
            with suppress(OSError):
                self._kept_ports.enter_context(kept_port(int(address.rpartition(":")[2])))

    # -- what it says --------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Everything all starts have logged, errors included."""
        return self._log.read_text(errors="replace")

    async def is_ready(self) -> bool:
        """Whether `/readyz` is green."""
        return (await self.health()).status == 200

    async def health(self) -> Answer:
        """What `/readyz` answers."""
        return await get(self.admin, "/readyz")

    async def is_listening(self) -> bool:
        """Whether the public port takes connections."""
        try:
            async with http_connection(self.public):
                return True
        except OSError:
            return False

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one series of `/metrics`."""
        text = (await get(self.admin, "/metrics")).body.decode()
        inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        series = f"{name}{{{inside}}} " if inside else f"{name} "
        [line] = [line for line in text.splitlines() if line.startswith(series)]
        return float(line.removeprefix(series))
