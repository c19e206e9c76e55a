"""What a publisher is told about each thing it handed in (channels.md, CH-110, CH-111, CH-115)."""

from tocsin.model.errors import RequestError
from tocsin.wire.notification import ID

Answer = dict[str, object]


def accepted(id_: str, channels: int, *, duplicate: bool = False) -> Answer:
    """It is stored, or there was nobody to store it for; `duplicate`: the first time."""
    status = "accepted" if channels else "no_channel"
    answer: Answer = {"id": id_, "channels": channels, "status": status}
    return {**answer, "duplicate": True} if duplicate else answer


def rejected(id_: str | None, error: RequestError) -> Answer:
    """It is not stored, and why."""
    return {"id": id_, "channels": 0, "status": "rejected", "error": error.as_dict()}


def own_id(item: object) -> str | None:
    """The id that an item or event came with, if that is one."""
    given = item.get("id") if isinstance(item, dict) else None
    return given if isinstance(given, str) and ID.fullmatch(given) else None
