"""The ledger on disk: one JSON line per change, so that even a killed sandbox forgets nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from .ledger import Ledger
from .records import (
    Clock,
    LedgerEvent,
    LedgerPayment,
    LedgerRefund,
    SandboxAccount,
    StoredAnswer,
    Subscription,
    as_json,
    from_json,
)

_KINDS: dict[str, type[Any]] = {
    "account": SandboxAccount,
    "payment": LedgerPayment,
    "refund": LedgerRefund,
    "answer": StoredAnswer,
    "event": LedgerEvent,
    "subscription": Subscription,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class StateFileError(Exception):
    """A state file that cannot be read; the text names the file and the line."""


class StateFile:
    """Follows a ledger into a file. The last line of a row is the row."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._file: TextIO | None = None

    def load(self) -> bool:
        """Fill the ledger from the file; False when there is none yet.

        Raises StateFileError. A last line that was cut off by a crash is left out.
        """
        if not self.path.exists():
            return False
        rows: dict[str, dict[Any, Any]] = {name: {} for name in _KINDS}
        lines = self.path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines[:-1], start=1):
            self._read(line, number, rows)
        self.ledger.restore(
            accounts=rows["account"].values(),
            payments=rows["payment"].values(),
            refunds=rows["refund"].values(),
            answers=rows["answer"].values(),
            events=rows["event"].values(),
            subscriptions=rows["subscription"].values(),
        )
        return True

    def _read(self, line: str, number: int, rows: dict[str, dict[Any, Any]]) -> None:
        try:
            ((name, data),) = json.loads(line).items()
            if name == "clock":
                self.ledger.clock.offset = timedelta(seconds=data)
                return
            row = from_json(_KINDS[name], data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self.path}, line {number}, is not a state of the sandbox: {error}"
            raise StateFileError(message) from error
        rows[name][_identity(row)] = row

    def start(self) -> None:
        """Write the whole ledger afresh, then follow it."""
        with self.ledger.lock:
            self.close()
            fresh = self.path.with_name(self.path.name + ".new")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as file:
                file.writelines(_line(row) for row in self._rows())
            os.replace(fresh, self.path)  # noqa: PTH105  # Path.replace hides that it is atomic
            self._file = self.path.open("a", encoding="utf-8", buffering=1)
            self.ledger.journal = self._append

    def close(self) -> None:
        """Stop following."""
        self.ledger.journal = lambda _row: None
        if self._file:
            self._file.close()
            self._file = None

    def _append(self, row: Any) -> None:
        if self._file:
            self._file.write(_line(row))

    def _rows(self) -> Iterator[Any]:
        ledger = self.ledger
        yield ledger.clock
        yield from ledger.accounts.values()
        yield from ledger.payments.values()
        yield from ledger.refunds.values()
        yield from ledger.answers.values()
        yield from ledger.events
        yield from ledger.subscriptions


def _line(row: Any) -> str:
    if isinstance(row, Clock):
        content: dict[str, Any] = {"clock": row.offset.total_seconds()}
    else:
        content = {_NAMES[type(row)]: as_json(row)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _identity(row: Any) -> Any:
    if isinstance(row, SandboxAccount):
        return row.name
    if isinstance(row, StoredAnswer):
        return row.account, row.key
    if isinstance(row, Subscription):
        return row.account, row.url
    return row.id
