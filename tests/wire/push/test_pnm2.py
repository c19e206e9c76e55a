"""The gateway's answers and how requests are taken apart (push.md, A.1, A.4)."""

import json
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model import errors
from tocsin.model.errors import RequestError
from tocsin.wire.push import pnm2
from tocsin.wire.push.pnm2 import (
    ATTRIBUTES,
    BAD_REQUEST,
    BUSY,
    FAILED,
    NOT_AN_OBJECT,
    NOT_AUTHORIZED,
    QUEUED,
    REQUIRED,
    SENT,
    TOO_LARGE,
    Endpoint,
    GatewayError,
    Reply,
    bad,
    elements_of,
    missing,
    reply_to,
)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
LEGACY = {"verb": "NotifyTextMessage", "AppId": "a", "DeviceToken": "t"}
SEED_OF_THREE = (
    '[{"code": 200, "response": "Your message was sent."}, {"code": 404, "response":'
    ' "Pnmediator returned an error: ERR:404 Not Found\\n"}, {"code": 400, "response":'
    ' "Bad object you sent here"}]'
)
ALL = [
    *(value for value in vars(pnm2).values() if isinstance(value, Reply)),
    *map(missing, REQUIRED),
    *map(bad, ATTRIBUTES),
]


def refused(endpoint: Endpoint, content_type: str | None, body: bytes) -> tuple[int, Reply]:
    with pytest.raises(GatewayError) as caught:
        elements_of(endpoint, content_type, body)
    return caught.value.status, caught.value.reply


def test_who_deletes_tokens_is_told_to_by_two_replies_alone() -> None:
    """Deployed clients delete a token where the code is 404 or the text has 404 in it (PU-3)."""
    telling = [one for one in ALL if one.code == 404 or "404" in one.response]
    assert sorted(telling, key=lambda one: one.response) == [
        Endpoint.MULTISEND.gone,
        Endpoint.SEND.gone,
    ]
    assert Endpoint.FORM.gone == Endpoint.SEND.gone
    assert {one.code for one in ALL} == {200, 400, 404, 500}


def test_the_closed_list() -> None:
    """Every text, to the character (A.4)."""
    assert {(one.code, one.response) for one in ALL} == {
        (200, "Your message was sent."),
        (200, "Your message was queued."),
        (404, "Pnmediator returned unknown error: ERR:404 Not Found"),
        (404, "Pnmediator returned an error: ERR:404 Not Found\n"),
        (400, "Bad object you sent here"),
        *((400, f"Missing attribute: {name}") for name in REQUIRED),
        *((400, f"Bad value: {name}") for name in ATTRIBUTES),
        (400, "Unknown verb"),
        (400, "AppId is not registered"),
        (400, "Malformed DeviceToken"),
        (400, "Verb not allowed for this AppId"),
        (400, "Payload too large"),
        (400, "Bad Request"),
        (400, "Not authorized"),
        (500, "Not sent, try again later"),
        (500, "Busy, try again later"),
    }


@pytest.mark.parametrize(
    ("endpoint", "replies", "seed"),
    [
        (Endpoint.SEND, [SENT], '{"code": 200, "response": "Your message was sent."}'),
        (
            Endpoint.SEND,
            [Endpoint.SEND.gone],
            '{"code": 404, "response": "Pnmediator returned unknown error: ERR:404 Not Found"}',
        ),
        (
            Endpoint.MULTISEND,
            [SENT, Endpoint.MULTISEND.gone, NOT_AN_OBJECT],
            SEED_OF_THREE,
        ),
        (Endpoint.MULTISEND, [SENT], '[{"code": 200, "response": "Your message was sent."}]'),
        (Endpoint.MULTISEND, [], "[]"),
    ],
)
def test_the_examples_of_the_seed(endpoint: Endpoint, replies: list[Reply], seed: str) -> None:
    """As they stand there in their values, and `status`, which is always `code` (PU-2, PU-92)."""
    expected = json.loads(seed)
    for one in expected if isinstance(expected, list) else [expected]:
        one["status"] = one["code"]
    assert json.loads(endpoint.render(replies)) == expected


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (errors.unauthorized("token_missing"), NOT_AUTHORIZED),
        (errors.scope_missing("push"), NOT_AUTHORIZED),
        (errors.service_error(413, "too_large"), TOO_LARGE),
        (errors.duplicate("k", "Idempotency-Key"), BAD_REQUEST),
        (errors.invalid("body"), BAD_REQUEST),
        (errors.rate_limited(retry_after=1), BUSY),
        (errors.unavailable("backlog", retry_after=5), BUSY),
        (errors.service_error(500, "internal"), FAILED),
        (GatewayError(400, missing("verb")), missing("verb")),
    ],
)
def test_errors_become_replies(error: RequestError, reply: Reply) -> None:
    """400 for what is the caller's fault, 500 for 429 and 5xx (PU-5)."""
    assert reply_to(error) == reply


@pytest.mark.parametrize("endpoint", [Endpoint.SEND, Endpoint.MULTISEND])
@pytest.mark.parametrize(
    "content_type",
    [JSON, "Application/JSON", f"{JSON}; charset=utf-8", f'{JSON};v=1; charset="UTF-8"'],
)
def test_json_of_any_parameters(endpoint: Endpoint, content_type: str) -> None:
    """The type, with any parameters, in UTF-8; one object counts as a list of one (PU-1, PU-4)."""
    assert elements_of(endpoint, content_type, b'{"verb":"v"}') == [{"verb": "v"}]


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", f"{JSON}; charset=latin-1", f"{FORM}; charset=utf-16", "json"],
)
def test_other_content_types(endpoint: Endpoint, content_type: str | None) -> None:
    """HTTP 400, also where there is none (PU-4)."""
    assert refused(endpoint, content_type, b"{}") == (400, BAD_REQUEST)


def test_no_endpoint_takes_the_type_of_the_other() -> None:
    """A form is for `/pnm2`, JSON for the others (PU-4)."""
    assert refused(Endpoint.SEND, FORM, urlencode(LEGACY).encode()) == (400, BAD_REQUEST)
    assert refused(Endpoint.FORM, JSON, orjson.dumps(LEGACY)) == (400, BAD_REQUEST)


@pytest.mark.parametrize("endpoint", [Endpoint.SEND, Endpoint.MULTISEND])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'"\\ud800"'),
        *(b"null", b"1", b'"x"', b"true", b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33),
    ],
)
def test_what_is_no_json_for_us(endpoint: Endpoint, body: bytes) -> None:
    """HTTP 400: no JSON, repeated names, depth over 32, `null` and scalars (PU-4)."""
    assert refused(endpoint, JSON, body) == (400, BAD_REQUEST)


def test_lists() -> None:
    """Not to `/send`; a thousand elements, whatever they are, and no more (PU-1, PU-4 to PU-6)."""
    assert refused(Endpoint.SEND, JSON, b"[]") == (400, BAD_REQUEST)
    assert refused(Endpoint.SEND, JSON, b"[{}]") == (400, BAD_REQUEST)
    assert elements_of(Endpoint.MULTISEND, JSON, b"[]") == []
    assert elements_of(Endpoint.MULTISEND, JSON, b"[null,1,{}]") == [None, 1, {}]
    assert len(elements_of(Endpoint.MULTISEND, JSON, orjson.dumps([None] * 1000))) == 1000
    assert refused(Endpoint.MULTISEND, JSON, orjson.dumps([None] * 1001)) == (413, TOO_LARGE)


def test_legacy_form() -> None:
    """The same attributes; numbers are digits, what is empty is absent, and what is no attribute
    (old callers send their passwords) ends here (PU-7, PU-92)."""
    fields = {
        **LEGACY,
        "Badge": "3",
        "Ttl": "30",
        "Sound": "",
        "Message": "a+b c%",
        "UserName": "é",
    }
    body = urlencode({**fields, "username": "root", "password": "hunter2", "Extra": "x"}).encode()
    assert elements_of(Endpoint.FORM, f"{FORM}; charset=utf-8", body) == [
        {**LEGACY, "Badge": "3", "Ttl": 30, "Message": "a+b c%", "UserName": "é"}
    ]
    plus = b"verb=v&AppId=a&DeviceToken=ab+cd&Ttl=-1"
    assert elements_of(Endpoint.FORM, FORM, plus) == [
        {"verb": "v", "AppId": "a", "DeviceToken": "ab cd", "Ttl": "-1"}
    ]


@pytest.mark.parametrize("name", ["verb", "AppId", "DeviceToken"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_form_that_lacks_what_it_must_have(name: str, value: str | None) -> None:
    """HTTP 400, and which it is (PU-7)."""
    fields = {**LEGACY, name: value}
    body = urlencode({key: one for key, one in fields.items() if one is not None}).encode()
    assert refused(Endpoint.FORM, FORM, body) == (400, missing(name))


@pytest.mark.parametrize(
    "more",
    [b"&verb=v", b"&verb=", b"&Badge=1&Badge=1", b"&pw=1&pw=2", b"&x=%ff", b"&Message=\xff"],
)
def test_forms_that_cannot_be_read(more: bytes) -> None:
    """HTTP 400: a field repeated, whichever it is, or no UTF-8 (PU-4, PU-7)."""
    body = urlencode(LEGACY).encode() + more
    assert refused(Endpoint.FORM, FORM, body) == (400, BAD_REQUEST)


def test_a_form_with_sip_parameters() -> None:
    """They stand in place of AppId and DeviceToken (A.2, PU-27)."""
    body = urlencode({"verb": "v", "pn-provider": "fcm", "pn-param": "p", "pn-prid": "t"}).encode()
    [element] = elements_of(Endpoint.FORM, FORM, body)
    assert isinstance(element, dict)
    assert element["pn-prid"] == "t"
    assert refused(Endpoint.FORM, FORM, b"pn-provider=fcm") == (400, missing("verb"))


@given(st.sampled_from(Endpoint), st.sampled_from([JSON, FORM]), st.binary(max_size=80))
def test_any_bytes(endpoint: Endpoint, content_type: str, body: bytes) -> None:
    """Elements or a refusal, never a crash (PU-4)."""
    try:
        status = 200 if len(elements_of(endpoint, content_type, body)) <= 1000 else 0
    except GatewayError as error:
        status = error.status
    assert status in {200, 400}


def test_what_is_not_known_is_queued() -> None:
    """The paths of the three, and both members of a reply, equal (PU-1, PU-2)."""
    assert [one.path for one in Endpoint] == ["/pnm2/send", "/pnm2/multisend", "/pnm2"]
    assert QUEUED.as_dict() == {"code": 200, "status": 200, "response": "Your message was queued."}
