"""`make bench`: measure the daemon on this machine, against floors of the same run.

Everything happens on loopback, in a folder that is gone afterwards. With TOCSIN_LOADTOOLS set
to a folder with the compiled load tools (`sink`, `floor`, `wsload`), webhooks are received and
the floor is measured by them; without, everything is Python.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    accept,
    fan_out,
    gateway,
    idle,
    messaging,
    pending,
    pushes,
    sends,
    settling,
    sockets,
    webhooks,
)
from tests.bench.processes import compiled_floor
from tests.bench.report import Figure, table
from tests.bench.run import Run, syncs_per_second

TOOLS = "TOCSIN_LOADTOOLS"
SUBJECTS: dict[str, Callable[[Run], list[Figure]]] = {
    "accept": accept.figures,
    "fan_out": fan_out.figures,
    "gateway": gateway.figures,
    "idle": idle.figures,
    "messaging": messaging.figures,
    "pending": pending.figures,
    "pushes": pushes.figures,
    "settling": settling.figures,
    "sockets": sockets.figures,
    "webhooks": webhooks.figures,
}


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS], help="only these")
    parser.add_argument("--quick", action="store_true", help="within two minutes, less exact")
    parser.add_argument("--folder", help="where the stores are put, for another disk")
    wanted = parser.parse_args()
    _raise_descriptor_limit()
    named = os.environ.get(TOOLS)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        run = _prepare(Path(folder), Path(named) if named else None, quick=wanted.quick)
        figures = [
            Figure("floor: a bare send of 200 B", run.floor, "us CPU"),
            Figure("floor: one small write made durable", 1000 / run.syncs, "ms"),
        ]
        for name in wanted.subjects or SUBJECTS:
            print(f"{time.monotonic() - started:4.0f} s: measuring {name}", flush=True)
            figures += SUBJECTS[name](run)
    print(f"\n{table(figures)}\n\n{time.monotonic() - started:.0f} seconds")


def _prepare(folder: Path, tools: Path | None, *, quick: bool) -> Run:
    if tools is None:
        floor = sends.measure(1000, frames=100_000).bare
    else:
        floor = compiled_floor(tools, 1000, rounds=200)
    return Run(
        folder=folder,
        tools=tools,
        seconds=0.8 if quick else 5.0,
        sockets=1000 if quick else 4000,
        crowd=1000,
        many=2000 if quick else 5000,
        idle=2000 if quick else 10_000,
        pushes=100_000 if quick else 1_000_000,
        floor=floor,
        syncs=syncs_per_second(folder),
    )


def _raise_descriptor_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
