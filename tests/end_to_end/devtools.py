"""Chromium's windows as a person has them, by the DevTools protocol.

    async with browser(chromium, tmp_path) as windows:
        alice = await windows.open("http://127.0.0.1:9464/chat#token=...")
        await alice.submit("#direct", id="bob")
        await alice.shows("#title", "bob")

For pages of the daemon's own, which report to nobody. Everything is done from outside of the page,
so its Content-Security-Policy stays as it is.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import trio
import trio_websocket
from tests.end_to_end.browser import running
from tests.end_to_end.daemon import BOUND, until

PORT_FILE = "DevToolsActivePort"
PORT_FILE_LINES = 2
# A window that is not in front is not slower than others here.
LIVELY = (
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


class Windows:
    """The open windows of a browser."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._turn = trio.Lock()

    async def open(self, url: str) -> "Window":
        """One more, in front of its person like every other; its page is there."""
        target = await self.call("Target.createTarget", url=url, newWindow=True)
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        window = Window(self, attached["sessionId"])
        await until(lambda: window.is_loaded(url), f"the page {url.partition('#')[0]}")
        return window

    async def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """What a command comes to; AssertionError where it fails."""
        answer = await self.ask(method, session, **params)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The `result` of a command, or its `error`."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        async with self._turn:
            with trio.fail_after(BOUND):
                await self._socket.send_message(json.dumps(command))
                while True:
                    answer: dict[str, Any] = json.loads(await self._socket.get_message())
                    if answer.get("id") == number:
                        return answer


class Window:
    """One of them, by the selectors of what is in it."""

    def __init__(self, windows: Windows, session: str) -> None:
        self._windows = windows
        self._session = session

    async def is_loaded(self, url: str) -> bool:
        """Whether this page is there."""
        seen = f"location.href === {json.dumps(url)} && document.readyState === 'complete'"
        return await self._glimpse(seen) is True

    async def focus(self, *, has_it: bool) -> None:
        """Whether its person looks at it; without a screen every window believes that he does."""
        await self._evaluate(
            f"document.hasFocus = () => {json.dumps(has_it)}; "
            f"dispatchEvent(new Event({json.dumps('focus' if has_it else 'blur')}))"
        )

    async def text(self, selector: str) -> str:
        """The text of what is there; "" where nothing is, or the page not yet."""
        return str(await self._glimpse(f"{_find(selector)}?.textContent ?? ''") or "")

    async def shows(self, selector: str, text: str) -> None:
        """Wait until this text is there."""
        seen = ""

        async def is_there() -> bool:
            nonlocal seen
            seen = await self.text(selector)
            return text in seen

        try:
            await until(is_there, f"{text!r} at {selector}")
        except AssertionError as error:
            error.add_note(f"It shows {seen!r}")
            raise

    async def count(self, selector: str) -> int:
        """How many there are."""
        return int(
            await self._evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")
        )

    async def click(self, selector: str) -> None:
        """Click it, once it is there."""
        await until(lambda: self.count(selector), f"something at {selector}")
        await self._evaluate(f"{_find(selector)}.click()")

    async def fill(self, selector: str, value: str) -> None:
        """Have it hold a value, as if typed or chosen."""
        await self._evaluate(
            f"""(() => {{
                const one = {_find(selector)};
                one.value = {json.dumps(value)};
                for (const name of ["input", "change"])
                    one.dispatchEvent(new Event(name, {{ bubbles: true }}));
            }})()"""
        )

    async def submit(self, form: str, **fields: str) -> None:
        """Fill in a form and send it."""
        for name, value in fields.items():
            await self.fill(f"{form} [name={name}]", value)
        await self._evaluate(f"{_find(form)}.requestSubmit()")

    async def _evaluate(self, expression: str) -> Any:
        done = await self._windows.call(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in done, (expression, done["exceptionDetails"])
        return done["result"].get("value")

    async def _glimpse(self, expression: str) -> Any:
        """Its value; None while the window is on its way to a page, when it cannot be asked."""
        answer = await self._windows.ask(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        return answer.get("result", {}).get("result", {}).get("value")


@asynccontextmanager
async def browser(chromium: str, folder: Path) -> AsyncIterator[Windows]:
    """A browser without a window; its log stays in `folder`."""
    arguments = (*LIVELY, "--remote-debugging-port=0", "about:blank")
    async with running(chromium, folder, *arguments) as (_process, profile):
        port_file = profile / PORT_FILE
        written: list[str] = []

        def is_told() -> bool:
            written[:] = port_file.read_text().split("\n") if port_file.exists() else []
            return len(written) == PORT_FILE_LINES and bool(written[-1])

        await until(is_told, "a browser")
        port, path = written
        async with trio_websocket.open_websocket(
            "127.0.0.1", int(port), path, use_ssl=False
        ) as socket:
            yield Windows(socket)


def _find(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
