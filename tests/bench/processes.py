"""The far sides of a measurement, each a process of its own, as objects to talk to."""

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

import attrs


@attrs.frozen
class Received:
    """What a crowd got since its last report. The times are until the last client had it."""

    received: int
    p50_ms: float
    p99_ms: float
    seconds: float
    busy: float


class Crowd:
    """Many WebSocket clients (see tests.bench.crowd)."""

    def __init__(self, process: subprocess.Popen[bytes], connect_seconds: float) -> None:
        self._process = process
        self.connect_seconds = connect_seconds

    def report(self) -> Received:
        """What came since the last report."""
        return self._ask("report")

    def expect(self, number: int, *, seconds: float) -> Received:
        """The same, once so many have come; SystemExit if they do not within the time."""
        report = self._ask(f"await {number} {seconds}")
        if report.received < number:
            raise SystemExit(f"{report.received} of {number} notifications arrived")
        return report

    def check(self, rounds: int) -> Received:
        """Have every client send so many connChecks and wait for their answers."""
        return self._ask(f"check {rounds}")

    def _ask(self, command: str) -> Received:
        tell(self._process, command)
        return Received(**json.loads(hear(self._process)))


@contextlib.contextmanager
def crowd(port: int, paths: Sequence[str]) -> Iterator[Crowd]:
    """Clients on these paths, all connected; they are gone at the end."""
    with child(*python("tests.bench.crowd")) as process:
        tell(process, json.dumps({"port": port, "paths": list(paths)}))
        yield Crowd(process, json.loads(hear(process))["seconds"])


class Sink(Protocol):
    """A webhook receiver that answers 200."""

    port: int

    def count(self) -> tuple[int, float]:
        """Requests so far, and the share of a core it needed since the last time."""


@contextlib.contextmanager
def sink(tools: Path | None) -> Iterator[Sink]:
    """The one in C if there are such tools, else ours."""
    if tools is not None:
        port = free_port()
        with subprocess.Popen(
            [tools / "sink", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            try:
                _line(process.stderr)
                yield CompiledSink(port)
            finally:
                process.terminate()
        return
    with child(*python("tests.bench.sink")) as process:
        yield PlainSink(process, int(hear(process)))


class PlainSink:
    """See tests.bench.sink."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def count(self) -> tuple[int, float]:
        """See Sink."""
        tell(self._process, "count")
        received, busy = hear(self._process).split()
        return int(received), float(busy)


class CompiledSink:
    """The one of the load tools; it is never the bottleneck."""

    def __init__(self, port: int) -> None:
        self.port = port

    def count(self) -> tuple[int, float]:
        """See Sink."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as answer:
            return int(json.load(answer)["posts"]), 0.0


def compiled_floor(tools: Path, sockets: int, rounds: int) -> float:
    """Microseconds of processor time of a `send` in C, with the compiled crowd reading."""
    burst = ["--burst", str(rounds), "--burst-conns", str(sockets), "--burst-size", "200"]
    port = str(free_port())
    with subprocess.Popen(
        [tools / "floor", *burst, port], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as floor:
        try:
            _line(floor.stderr)
            clients = ["-n", str(sockets), "-p", "/ws/{i}", "--expect", str(rounds), port]
            subprocess.run([tools / "wsload", *clients], capture_output=True, check=True)
            return float(json.loads(_line(floor.stdout))["cpu_us_per_send"])
        finally:
            floor.terminate()


def free_port() -> int:
    """One the tools, which must be told, will most likely find free a moment later."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with pipes to it, killed at the end."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of ours."""
    return sys.executable, "-m", module, *arguments


def tell(process: subprocess.Popen[bytes], line: str) -> None:
    """Write it a line."""
    if process.stdin is None:
        raise ValueError("no pipe")
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[bytes]) -> str:
    """The next line it writes."""
    return _line(process.stdout)


def _line(pipe: IO[bytes] | None) -> str:
    line = pipe.readline() if pipe is not None else b""
    if not line:
        raise SystemExit("a process of the measurement ended early")
    return line.decode()
