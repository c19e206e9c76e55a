"""Routes to try the HTTP server on, and requests to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import orjson
import trio
from tests.fakes.http_client import ALICE, Client, Front, serving

from tocsin.model import errors
from tocsin.model.principal import Principal
from tocsin.server.http import Request, Response, json_body
from tocsin.server.router import Router
from tocsin.server.settings import HttpLimits

LIMITS = HttpLimits()


async def echo(request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(200, orjson.dumps([request.method, request.target, request.body.decode()]))


async def parsed(request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    json_body(request)
    return Response(204)


async def broken(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    raise OSError("a bug, not a hang-up")


async def unwritable(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(201, headers=[("Location", "a\r\nb")])


async def own_rule(request: Request) -> Principal | None:
    await trio.lowlevel.checkpoint()
    scopes = frozenset(request.headers.get("x-scope", "").split())
    return attrs.evolve(ALICE, scopes=scopes) if scopes else None


def own_words(error: errors.RequestError) -> Response:
    return Response(error.status, orjson.dumps({"own": error.label}), error.headers)


def router() -> Router:
    routes = Router()
    for method in ("GET", "POST", "HEAD"):
        routes.add(method, "/open", echo, scope=None)
    routes.add("POST", "/json", parsed, scope=None)
    routes.add(
        "POST", "/v1/{user}/channels", echo, scope="channels", own_user=True, rate="channels"
    )
    routes.add("POST", "/small", echo, scope=None, body_limit=5)
    routes.add("GET", "/text", echo, scope=None, json=False, cors=False)
    routes.add("GET", "/broken", broken, scope=None)
    routes.add("GET", "/unwritable", unwritable, scope=None)
    routes.add("GET", "/own/broken", broken, scope=None, refuse=own_words)
    routes.add("POST", "/own", echo, scope="push", authorize=own_rule, refuse=own_words)
    return routes


@asynccontextmanager
async def connected(limits: HttpLimits = LIMITS) -> AsyncIterator[tuple[Front, Client]]:
    async with serving(router(), limits=limits) as front:
        yield front, front.connect()


def get(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def post(target: str, body: bytes, *lines: str) -> bytes:
    fields = ["Host: x", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([f"POST {target} HTTP/1.1", *fields, "", ""]).encode() + body
