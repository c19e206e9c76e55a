"""Health, metrics and pages for people, and these documents themselves (OP-8, OP-11, OP-19)."""

from collections.abc import Iterator
from typing import Final

from tocsin.server.admin import EXPOSITION
from tocsin.server.chatpage import HTML
from tocsin.server.description.operation import ALWAYS, Operation, answer, header
from tocsin.server.description.schema import OBJECT, STRING, Schema, one_of, record, ref, text
from tocsin.server.description.served import Served

TAG: Final = "Health"
PARTS: Final[Schema] = {"type": "object", "additionalProperties": STRING}
SCHEMAS: Final[dict[str, Schema]] = {
    "Readiness": record(
        {
            "status": one_of(["ready", "not ready"]),
            "failing": {**PARTS, "description": "What keeps it from being ready, and why."},
            "services": {**PARTS, "description": "What each part is doing."},
        }
    )
}


def operations(served: Served) -> Iterator[Operation]:
    """For monitors; no token is needed."""
    alive = record({"status": one_of(["alive"]), "version": text()})
    ready = ref("Readiness")
    yield _page("/livez", "live", "Whether the loop turns", {200: answer("It does.", alive)})
    yield _page(
        "/readyz",
        "ready",
        "Whether it serves",
        {200: answer("It does.", ready), 503: answer("It does not.", ready)},
    )
    metrics = answer("Prometheus' text format.", STRING, content_type=EXPOSITION)
    yield _page("/metrics", "metrics", "Metrics", {200: metrics})
    if served.chat_page:
        page = answer("A page to try messaging with.", STRING, content_type=HTML)
        yield _page("/chat", "chat", "Try messaging", {200: page})


def description(path: str) -> Operation:
    """What such a document says of itself; it may be kept for a while."""
    headers = {"ETag": header("Stays as long as the document does.")}
    answers = {200: answer("The document.", OBJECT, headers), 304: answer("You have it.")}
    return Operation(
        method="GET",
        path=path,
        name=path.strip("/").partition(".")[0],
        tag="Descriptions",
        summary="What is served, for machines",
        answers=answers,
        refusals=ALWAYS,
    )


def _page(path: str, name: str, summary: str, answers: dict[int, Schema]) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        tag=TAG,
        summary=summary,
        answers=answers,
        refusals=ALWAYS,
    )
