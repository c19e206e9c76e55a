"""tocsin.wire.push.report: device tokens as apps report them (A.8)."""

from urllib.parse import urlencode

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.delivery.pushsettings import ReporterFields
from tocsin.model.errors import RequestError
from tocsin.wire.push.report import Pair, Report, members_of, parse_removal, parse_report
from tocsin.wire.request import Request, split_path

FIELDS = attrs.asdict(ReporterFields())
FORM = "application/x-www-form-urlencoded"
WHOLE = {
    "username": "u@x",
    "selector": "s1",
    "pushTokenIncomingCall": "t-calls",
    "pushappid_incoming_call": "com.x.voip",
    "pushTokenOther": "t-other",
    "pushappid_other": "com.x",
}
CALLS = Pair("calls", "com.x.voip", "t-calls")
OTHER = Pair("other", "com.x", "t-other")


def get(query: str) -> Request:
    target = f"/push/report/main?{query}"
    return Request("GET", target, split_path(target), {})


def post(body: bytes, content_type: str | None = "application/json") -> Request:
    headers = {} if content_type is None else {"content-type": content_type}
    return Request("POST", "/push/report/main", ("push", "report", "main"), headers, body)


@pytest.mark.parametrize(
    "request_",
    [
        get(urlencode(WHOLE)),
        get("&" + urlencode(WHOLE) + "&&x"),
        post(urlencode(WHOLE).encode(), FORM),
        post(urlencode(WHOLE).encode(), f"{FORM}; charset=UTF-8"),
        post(orjson.dumps(WHOLE)),
        post(orjson.dumps({**WHOLE, "pushToken": None, "more": 3}), None),
    ],
)
def test_every_way_to_say_it(request_: Request) -> None:
    """Query, form and JSON say the same; what is not asked for is ignored (PU-24)."""
    report = parse_report(members_of(request_), FIELDS)
    assert report == Report("u@x", "s1", (CALLS, OTHER))


@pytest.mark.parametrize(
    ("changed", "pairs"),
    [
        ({"pushTokenOther": ""}, (CALLS,)),
        ({"pushappid_incoming_call": ""}, (OTHER,)),
        ({"pushToken": "t", "pushappid": "droid"}, (CALLS, OTHER)),
        (
            {"pushTokenOther": "", "pushToken": "t", "pushappid": "droid"},
            (CALLS, Pair("other", "droid", "t")),
        ),
        (
            {"pushTokenIncomingCall": "t-other", "pushappid_incoming_call": "com.x"},
            (OTHER,),
        ),
    ],
)
def test_pairs(changed: dict[str, str], pairs: tuple[Pair, ...]) -> None:
    """An empty token says nothing about its pair; a single token is for everything, and so is one
    that is reported twice (PU-24)."""
    assert parse_report({**WHOLE, **changed}, FIELDS).pairs == pairs


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"username": ""}, "username"),
        ({"username": "\x01x"}, "username"),
        ({"username": "u" * 257}, "username"),
        ({"selector": ""}, "selector"),
        ({"pushTokenOther": "", "pushTokenIncomingCall": ""}, "pushToken"),
        ({"pushappid_other": "", "pushTokenIncomingCall": ""}, "pushToken"),
    ],
)
def test_what_is_missing(changed: dict[str, str], named: str) -> None:
    """400 naming the field by the name the request has for it (PU-24)."""
    with pytest.raises(RequestError) as caught:
        parse_report({**WHOLE, **changed}, FIELDS)
    assert (caught.value.status, caught.value.variables) == (400, (named,))
    with pytest.raises(RequestError):
        parse_report({}, FIELDS)


def test_names_are_the_operators() -> None:
    """Fields go by the names that deployed apps have for them."""
    fields = {**FIELDS, "account": "user", "token_any": "token"}
    members = {"user": "u", "selector": "s", "token": "t", "pushappid": "droid", "username": "no"}
    assert parse_report(members, fields) == Report("u", "s", (Pair("other", "droid", "t"),))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("username=a&username=b"), 400),
        (get("username=%ff"), 400),
        (post(b"username=a&username=b", FORM), 400),
        (post(b"username=a&username=a", FORM), 400),
        (post(b"username=%ff", FORM), 400),
        (post(b"\xff", FORM), 400),
        (post(b"&".join([b"a=1"] * 65), FORM), 400),
        (post(b"{"), 400),
        (post(b"[]"), 400),
        (post(b'{"username":"a","username":"b"}'), 400),
        (post(b'{"username":true}'), 400),
        (post(b'{"username":["a"]}'), 400),
        (post(b'{"username":1.5}'), 400),
        (post(b"{}", "text/plain"), 415),
        (post(b"x=1", f"{FORM}; charset=latin-1"), 415),
    ],
)
def test_what_cannot_be_read(request_: Request, status: int) -> None:
    """What is said twice, or in another language, is refused whole (PU-24, SE-6)."""
    with pytest.raises(RequestError) as caught:
        members_of(request_)
    assert caught.value.status == status


def test_numbers_and_pluses() -> None:
    """Numbers count by their digits in JSON; a plus sign is one in a query (CH-3)."""
    assert members_of(post(b'{"username":1}')) == {"username": "1"}
    assert members_of(get("username=+1613@x&selector=%2B1")) == {
        "username": "+1613@x",
        "selector": "+1",
    }


def test_tokens_are_not_shown() -> None:
    """No token is in what is printed of a report (PU-43)."""
    shown = repr(parse_report(WHOLE, FIELDS))
    assert "t-calls" not in shown
    assert "t-other" not in shown


@pytest.mark.parametrize(
    ("members", "removal"),
    [
        ({"username": "u", "selector": "s"}, ("u", "s")),
        ({"username": "u", "selector": ""}, ("u", None)),
        ({"username": "u"}, ("u", None)),
    ],
)
def test_removal(members: dict[str, str], removal: tuple[str, str | None]) -> None:
    """Of a selector, or of the whole account (PU-26)."""
    assert parse_removal(members, FIELDS) == removal


def test_a_removal_needs_an_account() -> None:
    """Nothing is removed of nobody in particular."""
    with pytest.raises(RequestError):
        parse_removal({"selector": "s"}, FIELDS)


@given(st.binary(max_size=200), st.sampled_from([None, FORM, "application/json"]))
def test_any_bytes(body: bytes, content_type: str | None) -> None:
    """Whatever is posted is read or refused with a 4xx (SE-6)."""
    try:
        parse_report(members_of(post(body, content_type)), FIELDS)
    except RequestError as error:
        refused = error.status
    else:
        refused = 400
    assert refused == 400
