"""What a demo came to."""

from typing import Any

import attrs

from tocsin.demo.ledger import Balance, Ledger

Json = dict[str, Any]


@attrs.frozen
class Report:
    """`attempts` are the lines of the delivery log, the oldest first; `names` says what an id
    stands for."""

    seconds: float
    balances: list[Balance]
    attempts: list[Json]
    names: dict[str, str]

    @classmethod
    def of(cls, ledger: Ledger, attempts: list[Json], seconds: float) -> "Report":
        """Of what is in the ledger now."""
        balances = ledger.balances()
        ids = {one["notification"] for one in attempts}
        for balance in balances:
            ids.update(balance.missing, balance.unexpected, balance.out_of_order)
        return cls(seconds, balances, attempts, {id_: ledger.name(id_) for id_ in ids})

    @property
    def is_good(self) -> bool:
        """Everybody has exactly what was expected, in order; and there was something."""
        return bool(self.balances) and all(one.is_even for one in self.balances)

    @property
    def complaints(self) -> list[str]:
        """What is wrong, a line each."""
        return [
            f"{balance.receiver}: {fault}: {self.names[id_]} ({id_})"
            for balance in self.balances
            for fault, ids in (
                ("missing", balance.missing),
                ("not expected", balance.unexpected),
                ("out of order", balance.out_of_order),
            )
            for id_ in ids
        ]

    def as_json(self) -> Json:
        """For machines."""
        return {
            "ok": self.is_good,
            "seconds": round(self.seconds, 3),
            "receivers": [attrs.asdict(one) for one in self.balances],
            "complaints": self.complaints,
            "deliveries": self.attempts,
        }
