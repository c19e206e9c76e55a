"""The daemon of a demo: a process of its own, in a folder that goes with it."""

import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import orjson
import trio

from tocsin.demo.errors import DemoError
from tocsin.demo.rest import Rest
from tocsin.wire.jwk import Key, shared_secret
from tocsin.wire.jwt import mint

START_SECONDS = 20.0
STOP_SECONDS = 15.0
LOOK_EVERY = 0.02
LIFETIME = 3600
LOG = "daemon.log"
SHOWN_BYTES = 2000
# Variables that would tell the daemon something, or somebody else of it.
OTHERS = ("TOCSIN_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "CREDENTIALS_")


def last_words(folder: Path) -> str:
    """The end of the log of a daemon that lived in this folder."""
    log = folder / LOG
    return log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace") if log.exists() else ""


@attrs.frozen
class Daemon:
    """One that is ready; `public` and `admin` are host:port."""

    public: str
    admin: str
    _secret: Key = attrs.field(repr=False)

    def token(self, user: str, scope: str) -> str:
        """One that it accepts."""
        claims = {"sub": user, "preferred_username": user, "client_id": "demo", "scope": scope}
        return mint(claims, self._secret, now=time.time(), lifetime=LIFETIME)

    def as_user(self, user: str, scope: str) -> Rest:
        """Somebody at the public listener."""
        return Rest(self.public, self.token(user, scope))

    def as_operator(self) -> Rest:
        """Somebody at the admin listener."""
        return Rest(self.admin, self.token("operator", "admin"))


@asynccontextmanager
async def started(folder: Path, settings: Mapping[str, object]) -> AsyncIterator[Daemon]:
    """A daemon on free ports whose state is in this folder; `settings` are dotted keys.

    Raises DemoError if it does not start, or does not end well when it is asked to. However the
    block ends, the process has ended too.
    """
    secret = secrets.token_urlsafe(48)
    process = await _launch(folder, {**_basics(folder, secret), **settings})
    try:
        yield await _ready(process, folder / "state" / "listen.json", shared_secret(secret))
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    if process.returncode != 0:
        raise DemoError(f"the daemon ended with status {process.returncode}")


def _basics(folder: Path, secret: str) -> dict[str, object]:
    state = folder / "state"
    return {
        "state_dir": str(state),
        "store.path": str(state / "tocsin.db"),
        "listen.public": "127.0.0.1:0",
        "listen.admin": "127.0.0.1:0",
        "auth.shared_secret": secret,
        "log.format": "json",
        "drain.window": 0.2,
    }


async def _launch(folder: Path, settings: Mapping[str, object]) -> trio.Process:
    config = folder / "tocsin.toml"
    config.touch(mode=0o600)
    # JSON's scalars and lists are TOML's, too.
    lines = [b"%s = %s\n" % (key.encode(), orjson.dumps(value)) for key, value in settings.items()]
    config.write_bytes(b"".join(lines))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    with (folder / LOG).open("wb") as output:
        # Ctrl-C is for us alone: we tell the daemon when everything else has ended.
        return await trio.lowlevel.open_process(
            [sys.executable, "-m", "tocsin", "serve", "--config", str(config)],
            stdin=None,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environ,
            start_new_session=True,
        )


async def _ready(process: trio.Process, addresses: Path, secret: Key) -> Daemon:
    with trio.move_on_after(START_SECONDS):
        while process.poll() is None:
            if addresses.exists():
                bound = orjson.loads(addresses.read_bytes())
                return await _green(Daemon(bound["public"][0], bound["admin"][0], secret))
            await trio.sleep(LOOK_EVERY)
    ended = process.poll() is not None
    raise DemoError("the daemon ended at once" if ended else "the daemon does not start")


async def _green(daemon: Daemon) -> Daemon:
    """The same, once `/readyz` says so."""
    while True:
        try:
            await daemon.as_operator().get("/readyz")
        except DemoError:
            await trio.sleep(LOOK_EVERY)
        else:
            return daemon


async def _end(process: trio.Process) -> None:
    """SIGTERM, and SIGKILL where that does not help."""
    if process.poll() is None:
        process.terminate()
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
    if process.poll() is None:
        process.kill()
        await process.wait()
