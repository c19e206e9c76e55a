"""Headless Chromium on a page of ours, served from an origin of its own.

    async def test_x(tmp_path, nursery, chromium):
        async with open_page(nursery, chromium, tmp_path, "x.html", base=..., token=...) as page:
            made = await page.report("created")

The page finds its parameters in the fragment and reports in JSON to the origin it came from; both
stand in `pages/reports.js`. However the block ends, every process of the browser has ended too; a
failure inside it carries the end of the browser's log as a note.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from tests.end_to_end.daemon import BOUND
from tests.end_to_end.origin import Origin

REQUIRED = "TOCSIN_REQUIRE_BROWSER"
# A browser that is not asked to be quiet calls home, draws, and asks questions.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    "--use-mock-keychain",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
NOTED_BYTES = 8192


class Page:
    """An open page, as far as it tells us."""

    def __init__(self, reports: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
        self._reports = reports

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """The reports in the order the page made them; StopAsyncIteration when the browser ends."""
        return self._reports

    async def report(self, event: str) -> dict[str, Any]:
        """The next report, which must be of this event. May be cancelled."""
        [*others, report] = await self.until(event)
        assert not others, others
        return report

    async def reports(self, event: str, count: int) -> list[dict[str, Any]]:
        """The next so many, all of this event."""
        return [await self.report(event) for _ in range(count)]

    async def until(self, event: str) -> list[dict[str, Any]]:
        """Every report up to the first one of this event; AssertionError when none comes."""
        reports: list[dict[str, Any]] = []
        with trio.move_on_after(BOUND):
            async for report in self:
                assert report["event"] != "failed", report["message"]
                reports.append(report)
                if report["event"] == event:
                    return reports
            raise AssertionError(f"the browser ended without {event}, after {reports}")
        raise AssertionError(f"in {BOUND:.0f} s no {event} came, but {reports}")


def find_browser() -> str:
    """Chromium's path. Without one the test is skipped, or fails where a browser is required."""
    found = shutil.which("chromium")
    if found is None:
        complain = pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip
        complain("there is no `chromium` on this machine (Debian: apt-get install chromium)")
    return found


@asynccontextmanager
async def open_page(
    nursery: trio.Nursery, chromium: str, folder: Path, name: str, **parameters: object
) -> AsyncIterator[Page]:
    """A browser showing `pages/<name>#<parameters>`; its log stays in `folder`."""
    origin = await Origin.start(nursery)
    url = f"{origin.url}/{name}#{urlencode(parameters)}"
    async with running(chromium, folder, url) as (process, _profile):
        nursery.start_soon(_close_after, process, origin)
        yield Page(origin.reports)


@asynccontextmanager
async def running(
    chromium: str, folder: Path, *arguments: str
) -> AsyncIterator[tuple[trio.Process, Path]]:
    """A browser with a fresh profile: its process, and the profile's folder."""
    with _home() as home, _noting(folder / "browser.log") as log:
        profile = Path(home) / "profile"
        process = await trio.lowlevel.open_process(
            [chromium, *FLAGS, f"--user-data-dir={profile}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(home),
            start_new_session=True,
        )
        try:
            yield process, profile
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + BOUND):
                _kill_group(process)
                await process.wait()


def _home() -> TemporaryDirectory[str]:
    """Where the browser keeps everything; a short path, since there are sockets in it."""
    return TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)


def _environment(home: str) -> dict[str, str]:
    """Ours, with a home that nobody else uses and no proxy."""
    ours = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    return ours | dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), home)


@contextmanager
def _noting(file: Path) -> Iterator[int]:
    """A descriptor to log to; what it got in the end is noted on a failure inside."""
    with file.open("wb") as log:
        try:
            yield log.fileno()
        except BaseException as error:
            end = file.read_text(errors="replace")[-NOTED_BYTES:]
            error.add_note(f"The browser's log ends:\n{end}")
            raise


async def _close_after(process: trio.Process, origin: Origin) -> None:
    """Whoever waits for a report of a browser that has crashed need not wait on."""
    await process.wait()
    origin.close()


def _kill_group(process: trio.Process) -> None:
    """A browser is a dozen processes that do not take each other along."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
