"""`/pnm2`: pushes for callers that name the device (push.md, A.1 to A.6)."""

from collections.abc import Iterator, Mapping
from typing import Final

from tocsin.server.description.operation import (
    BEARER,
    FORM,
    Operation,
    answer,
    body,
    refusal,
)
from tocsin.server.description.schema import (
    NUMBER,
    STRING,
    Schema,
    judged_one_by_one,
    listed,
    nullable,
    one_of,
    record,
    ref,
    said,
    text,
)
from tocsin.server.description.served import Served
from tocsin.server.gateway import SCOPE
from tocsin.wire.push.element import MOST_CHARACTERS, MOST_SECONDS, MOST_UNREAD
from tocsin.wire.push.pnm2 import MOST_ELEMENTS, Endpoint
from tocsin.wire.push.verbs import VERBS

TAG: Final = "Push gateway"
REFUSALS: Final = (400, 401, 403, 413, 429, 500, 503)
NAME: Final = text(0, MOST_CHARACTERS)
MEMBERS: Final[Mapping[str, Schema]] = {
    "AppId": said(STRING, "A registered app; needed, unless the phone's SIP parameters are given."),
    "DeviceToken": said(STRING, "The device; likewise."),
    "Selector": said(NAME, "The account on the device; calls need it."),
    "Message": said(STRING, "What is shown; NotifyGenericTextMessage needs it."),
    "Badge": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MOST_UNREAD}, STRING]},
    "Sound": STRING,
    "UserName": STRING,
    "UserDisplayName": STRING,
    "ContentType": STRING,
    "Id": said({"anyOf": [NAME, {"type": "integer"}]}, "The same push again is sent once."),
    "ThreadId": STRING,
    "Ttl": {"type": "integer", "minimum": 0, "maximum": MOST_SECONDS},
    "pn-provider": said(STRING, "The phone's SIP parameters (RFC 8599), all three or none."),
    "pn-param": STRING,
    "pn-prid": STRING,
}
EXAMPLE: Final = {
    "verb": "NotifyGenericTextMessage",
    "AppId": "com.example.app",
    "DeviceToken": "ab" * 32,
    "Message": "Hello",
}


def schemas(served: Served) -> dict[str, Schema]:
    """A push, and what is said of it."""
    verb = one_of([*VERBS, *served.pass_verbs])
    members = {name: nullable(schema) for name, schema in MEMBERS.items()}
    form = dict.fromkeys(MEMBERS, STRING) | {"Ttl": NUMBER, "Badge": NUMBER}
    what = {"type": "object", "required": ["verb"]}
    return {
        "Push": {**what, "properties": {"verb": verb, **members}, "additionalProperties": True},
        "PushForm": {**what, "properties": {"verb": verb, **form}, "additionalProperties": True},
        "PushReply": record(
            {
                "code": one_of([200, 400, 404, 500], description="404: the device token is gone."),
                "status": said({"type": "integer"}, "The same as `code`."),
                "response": said(text(), "In words, from a closed list."),
            }
        ),
    }


def operations() -> Iterator[Operation]:
    """The three endpoints. Every other method on them is answered 400, in the same words."""
    reply, push = ref("PushReply"), ref("Push")
    many = judged_one_by_one(push, MOST_ELEMENTS)
    wants: dict[Endpoint, tuple[Schema, Schema, str]] = {
        Endpoint.SEND: (body(push, examples={"text": EXAMPLE}), reply, "Push to a device"),
        Endpoint.MULTISEND: (
            body({"anyOf": [many, push]}, examples={"texts": [EXAMPLE]}),
            listed(reply),
            "Push to devices, a reply for each",
        ),
        Endpoint.FORM: (
            body(ref("PushForm"), content_type=FORM),
            reply,
            "Push to a device, by a form",
        ),
    }
    for endpoint, (asked, replied, summary) in wants.items():
        yield Operation(
            method="POST",
            path=endpoint.path,
            name=f"push{endpoint.value.capitalize()}",
            tag=TAG,
            summary=summary,
            description="Stored before it is answered; the answer waits for the provider for a "
            "while. From trusted networks no token is needed. Other methods are answered 400.",
            scope=SCOPE,
            security=[{BEARER: [SCOPE]}, {}],
            body=asked,
            answers={
                200: answer("What became of each push says its `code`.", replied),
                431: refusal(431, ref("RequestError")),
            },
            refusals=REFUSALS,
            refused_as=reply,
        )
