"""The real daemon where somebody stands between it and us: a launcher that prepares the process,
a service manager that listens for it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio
from tests.end_to_end.daemon import Daemon, command, environment, until
from tests.fakes.described import listens


class Launched(Daemon):
    """A daemon whose command line comes behind `before`, with `environ` added to its environment
    and the descriptors `passed` left open in it; `program` is another `tocsin` than ours."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        program: Sequence[str] | None = None,
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        passed: Sequence[int] = (),
    ) -> None:
        super().__init__(folder, settings)
        self._program = [*before, *(command() if program is None else program)]
        self._environ = environ or {}
        self._passed = tuple(passed)

    @property
    def has_ended(self) -> bool:
        """The process is no more."""
        return self._ended

    @property
    def _addresses(self) -> Path:
        return self.folder / "state" / "listen.json"

    async def launch(self) -> None:
        """Start the process and do not wait for it."""
        self._addresses.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                [*self._program, "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env={**environment(), **self._environ},
                cwd=self.folder,
                pass_fds=self._passed,
            )

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        await self.launch()
        await until(lambda: self._ended or self._addresses.exists(), "the daemon listens")
        assert not self._ended, "the daemon ended instead of starting"
        bound = json.loads(self._addresses.read_text())
        self.public, self.admin = bound["public"][0], bound["admin"][0]
        listens(self.config, self.public, self.admin)
        await until(self.is_ready, "the daemon is ready")
