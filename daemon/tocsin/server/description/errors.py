"""Refusals as every face but two says them (channels.md, section 13)."""

from typing import Final

from tocsin.model.errors import TEXTS, VARIABLE_LIMIT
from tocsin.server.description.schema import Schema, either, listed, one_of, record, ref, text

_POLICY: Final = tuple(name for name in TEXTS if name.startswith("POL"))
_SERVICE: Final = tuple(name for name in TEXTS if not name.startswith("POL"))


def _exception(*message_ids: str) -> Schema:
    return record(
        {
            "messageId": one_of(message_ids),
            "text": one_of(
                dict.fromkeys(TEXTS[name] for name in message_ids),
                description="Has one placeholder for each of the variables.",
            ),
            "variables": listed(text(0, VARIABLE_LIMIT), 2),
        }
    )


SCHEMAS: Final[dict[str, Schema]] = {
    "ServiceException": _exception(*_SERVICE),
    "PolicyException": _exception(*_POLICY),
    "RequestError": record(
        {
            "requestError": either(
                record({"serviceException": ref("ServiceException")}),
                record({"policyException": ref("PolicyException")}),
            )
        },
        description="Why a request was refused; nothing of it was stored.",
    ),
}
