"""The descriptions against the servers they describe (OP-19)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.fakes.daemon import Daemon, configured, daemon
from tests.fakes.described import described
from tests.fakes.routes import doors

from tocsin.app.descriptions import served
from tocsin.server.description.asyncapi import asyncapi
from tocsin.wire.sockjs.urls import TRANSPORTS

PLACEHOLDER = re.compile(r"{\w+}")
ALL_ON: dict[str, Any] = {
    "public_base_url": "https://tocsin.example",
    "netapi": {"prefix": "/other"},
    "auth": {"builtin": {"enabled": True}},
    "services": {"fax": {"envelope": "faxSubscription"}, "door-bell": {}},
    "messaging": {"prefix": "/v1/connection", "chat_page": True},
    "operator": {"webhook_url": "https://operator.example/hook"},
}
REPORTERS = {
    "main": {"secret": "a secret", "fields": {"account": "who"}},
    "bearer": {"auth": "bearer"},
    "network": {"auth": "network"},
}
ALL_OFF: dict[str, Any] = {"messaging": {"enabled": False, "chat_page": False}}
SOCKJS: dict[str, Any] = {
    "messaging": {"sockjs": {"transports": list(TRANSPORTS), "sockjs_url": "/sockjs.js"}}
}
CONFIGURATIONS = {"defaults": {}, "off": ALL_OFF, "transports": SOCKJS, "on": ALL_ON}


def tables(name: str) -> dict[str, Any]:
    """A configuration; the one with everything on has reporters too."""
    chosen = CONFIGURATIONS[name]
    return {**chosen, "push": {"reporters": REPORTERS}} if name == "on" else chosen


def shape(path: str) -> str:
    """A path whatever its placeholders are called; an iframe page is one whatever its version."""
    return PLACEHOLDER.sub("{}", path).replace("iframe{}.html", "iframe.html")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a document describes."""
    for path, item in document["paths"].items():
        for method in item:
            yield method.upper(), shape(path)


def served_by(running: Daemon, listener: str) -> set[tuple[str, str]]:
    """What a listener answers, but for preflights, HEAD and what only refuses other methods."""
    app = running.app
    transports = frozenset(app.config.messaging.sockjs.transports)
    found = set()
    for door in doors(running):
        if door.listener != listener or door.method in {"OPTIONS", "HEAD", "PATCH"}:
            continue
        pattern = door.pattern.replace("/000/", "/{}/")
        session = re.fullmatch(r"(.*)/session-(\w+)/(\w+)", pattern)
        if session is not None:
            pattern = f"{session[1]}/{{}}/{session[3]}"
        found.add((door.method, shape(pattern)))
    return {one for one in found if is_on(one[1], app.config.messaging.prefix, transports)}


def is_on(pattern: str, prefix: str, transports: frozenset[str]) -> bool:
    """Whether a URL of SockJS belongs to a transport that is on; others always are."""
    needs = {
        "/iframe.html": {"iframe"},
        "/xhr": {"xhr-polling"},
        "/xhr_streaming": {"xhr-streaming"},
        "/htmlfile": {"htmlfile"},
        "/jsonp": {"jsonp-polling"},
        "/jsonp_send": {"jsonp-polling"},
    }
    last = "/" + pattern.rpartition("/")[2]
    return not pattern.startswith(prefix) or needs.get(last, transports) <= transports


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_what_is_served_is_described(tmp_path: Path, name: str) -> None:
    """Each route of both listeners is in its document, and nothing else is, whatever of the faces
    is on (OP-19)."""
    async with daemon(tmp_path, **tables(name)) as running:
        public, admin = described(running.app.config)
        assert served_by(running, "public") == set(operations(public.whole))
        assert served_by(running, "admin") == set(operations(admin.whole))


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_the_documents_are_served(tmp_path: Path, name: str) -> None:
    """Both listeners answer theirs to everybody, to be kept for a while; who has it is told so
    (OP-19)."""
    async with daemon(tmp_path, **tables(name)) as running:
        public, admin = described(running.app.config)
        told = {
            "/openapi.json": public.whole,
            "/asyncapi.json": asyncapi(served(running.app.config)),
        }
        for path, whole in told.items():
            answer = await running.get(path, bearer=None, headers=[("Accept", "text/html")])
            assert answer.status == 200
            assert answer.json == whole
            assert answer.headers["cache-control"] == "public, max-age=300"
            assert answer.headers["access-control-allow-origin"] == "*"
            known = [("If-None-Match", f'"x", {answer.headers["etag"]}')]
            again = await running.get(path, bearer=None, headers=known)
            assert (again.status, again.body) == (304, b"")
        assert (await running.admin("/openapi.json")).json == admin.whole
        assert (await running.admin("/asyncapi.json")).status == 404


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_openapi_is_valid(tmp_path: Path, name: str) -> None:
    """Both documents are OpenAPI 3.1, and no two operations have the same name."""
    for one in described(configured(tmp_path, **tables(name))):
        OpenAPIV31SpecValidator(one.whole).validate()
        names = [
            operation["operationId"]
            for item in one.whole["paths"].values()
            for operation in item.values()
        ]
        assert len(names) == len(set(names))


def test_the_prefix_and_the_base_are_the_configured_ones(tmp_path: Path) -> None:
    """What is described has the prefixes and the public URL of the configuration (OP-19)."""
    config = configured(tmp_path, **tables("on"))
    [public, _] = described(config)
    assert public.whole["servers"] == [{"url": "https://tocsin.example"}]
    assert "/other/notificationchannel/v1/{user}/channels" in public.whole["paths"]
    assert "/notificationchannel/v1/{user}/channels" in public.whole["paths"]
    told = asyncapi(served(config))
    assert told["servers"]["daemon"] == {
        **told["servers"]["daemon"],
        "host": "tocsin.example",
        "protocol": "wss",
    }
    addresses = {one["address"] for one in told["channels"].values()}
    assert "/other/notificationchannel/v1/{user}/channels/{channelId}/websocket" in addresses
    assert "/v1/connection/websocket" in addresses
