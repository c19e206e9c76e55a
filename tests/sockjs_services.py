"""The test services of sockjs.md, section 9: `python -m tests.sockjs_services`.

Prints `ready HOST:PORT` when it listens, logs to stderr, and ends with status 0 on SIGTERM or
SIGINT.
"""

import argparse
import signal
import sys

import trio
from tests.fakes.sockjs_services import Options, running

from tocsin.model.errors import StartupError
from tocsin.ops.log import configure


def main() -> None:
    """Serve until told to stop."""
    options = read_options()
    configure("info")
    try:
        trio.run(serve, options)
    except StartupError as error:
        sys.exit(f"sockjs_services: {error}")


def read_options() -> Options:
    """The command line (SJ-40, SJ-41)."""
    parser = argparse.ArgumentParser(prog="python -m tests.sockjs_services", description=__doc__)
    default = Options()
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=default.port, help="0 picks a free one")
    parser.add_argument("--heartbeat", type=float, default=default.heartbeat, help="seconds")
    parser.add_argument("--disconnect", type=float, default=default.disconnect, help="seconds")
    parser.add_argument("--limit", type=int, default=default.limit, help="response_limit, bytes")
    parser.add_argument("--token", default=default.token, help="what clients have to show")
    parser.add_argument("--sockjs-url", default=default.sockjs_url, help="the iframe page's script")
    parser.add_argument("--engine", choices=("reactor", "trio-websocket"), default=default.engine)
    return Options(**vars(parser.parse_args()))


async def serve(options: Options) -> None:
    """Until SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with running(options) as services:
            print(f"ready {services.address}", flush=True)
            async for _ in signals:
                break
            await services.say_goodbye()


if __name__ == "__main__":
    main()
