"""Transactions as a file: exactly what a table shows, in its order, in constant memory.

The rows are read page by page along an index, so that no transaction of the database is held open.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import IO, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from xlsxwriter import Workbook

from gateways.money import Money, exponent_of

from .changelist import Cursor, KeysetChangeList
from .methods import METHODS, brand_name, wallet_name
from .models import RefundProgress, Transaction, TransactionStatus

_PAGE = 2000
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
# Spreadsheets take a file without one for an old alphabet.
BYTE_ORDER_MARK = "\ufeff"
# A sheet has room for 1,048,576 rows.
_SHEET_ROWS = 1_000_000

Cell = str | Decimal | datetime
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and its cell out of the values of a transaction."""

    heading: str | Promise
    cell: Callable[[Values], Cell]
    width: int = 16


def _text(name: str) -> Callable[[Values], str]:
    return lambda values: str(values[name])


def _choice(name: str, choices: Any) -> Callable[[Values], str]:
    return lambda values: str(choices(values[name]).label)


def _amount(name: str) -> Callable[[Values], Decimal]:
    return lambda values: Decimal(Money(values[name], values["currency"]).major())


def _moment(name: str) -> Callable[[Values], Cell]:
    """Without a zone, as spreadsheets know none: it is the one that the page shows."""
    return lambda values: (
        timezone.make_naive(values[name]).replace(microsecond=0) if values[name] else ""
    )


def _method(values: Values) -> str:
    kind = METHODS.get(values["method_type"], METHODS["other"])
    return brand_name(values["brand"]) or str(kind)


COLUMNS = (
    Column(_("Paid at"), _moment("created_at"), 19),
    Column(_("Account"), _text("account__slug"), 20),
    Column(_("Processor's id"), _text("external_id"), 30),
    Column(_("Customer"), _text("customer_name"), 24),
    Column(_("E-mail"), _text("customer_email"), 30),
    Column(_("Order"), _text("order_reference"), 20),
    Column(_("Method"), _method),
    Column(_("Last four"), _text("last4"), 10),
    Column(_("Wallet"), lambda values: wallet_name(values["wallet"])),
    Column(_("Currency"), _text("currency"), 9),
    Column(_("Amount"), _amount("amount_minor"), 14),
    Column(_("Refunded"), _amount("refunded_minor"), 14),
    Column(_("On its way"), _amount("reserved_minor"), 14),
    Column(_("Left"), _amount("refundable_minor"), 14),
    Column(_("Refund"), _choice("refund_state", RefundProgress)),
    Column(_("Status"), _choice("status", TransactionStatus)),
    Column(_("Disputed"), lambda values: str(_("Yes")) if values["disputed"] else ""),
    Column(_("Settled at"), _moment("settled_at"), 19),
    Column(_("Description"), _text("description"), 40),
)
_VALUES = (
    *("pk", "created_at", "account__slug", "external_id", "customer_name", "customer_email"),
    *("order_reference", "method_type", "brand", "last4", "wallet", "currency", "amount_minor"),
    *("refunded_minor", "reserved_minor", "refundable_minor", "refund_state", "status", "disputed"),
    *("settled_at", "description"),
)


def estimate(rows: QuerySet[Transaction]) -> int:
    """How many rows there are, as the database's statistics have it: nothing is counted."""
    [told] = json.loads(rows.order_by().explain(format="json"))
    return int(told["Plan"]["Plan Rows"])


def csv_lines(rows: QuerySet[Transaction]) -> Iterator[bytes]:
    """The lines of a CSV file, a page at a time. Text that could be a formula begins with ``'``."""
    yield csv_part([[str(column.heading) for column in COLUMNS]], mark=BYTE_ORDER_MARK)
    for page in _pages(rows):
        yield csv_part([[_written(column.cell(values)) for column in COLUMNS] for values in page])


def write_xlsx(rows: QuerySet[Transaction], file: IO[bytes]) -> None:
    """Write a workbook: numbers are numbers, moments are moments, and text is only text."""
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with Workbook(file, options) as book:
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        money = [book.add_format({"num_format": f"#,##0.{'0' * n}".rstrip(".")}) for n in range(4)]
        bold = book.add_format({"bold": True})
        place, sheet = _SHEET_ROWS, None
        for values in (values for page in _pages(rows) for values in page):
            if sheet is None or place == _SHEET_ROWS:
                sheet, place = _add_sheet(book, bold), 0
            place += 1
            amount = money[exponent_of(values["currency"])]
            for number, column in enumerate(COLUMNS):
                cell = column.cell(values)
                if isinstance(cell, Decimal):
                    sheet.write_number(place, number, cell, amount)
                elif isinstance(cell, datetime):
                    sheet.write_datetime(place, number, cell, moment)
                else:
                    sheet.write_string(place, number, cell)
        if sheet is None:
            _add_sheet(book, bold)


def _add_sheet(book: Workbook, bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for number, column in enumerate(COLUMNS):
        sheet.set_column(number, number, column.width)
        sheet.write_string(0, number, str(column.heading), bold)
    return sheet


def _pages(rows: QuerySet[Transaction]) -> Iterator[list[Values]]:
    """The values of the rows, newest first, a page at a time."""
    wanted = rows.order_by("-created_at", "-pk").values(*_VALUES)
    page = list(wanted[:_PAGE])
    while page:
        yield page
        last = Cursor(newer=False, at=page[-1]["created_at"], pk=page[-1]["pk"])
        page = list(wanted.filter(last.beyond())[:_PAGE]) if len(page) == _PAGE else []


def csv_part(lines: list[list[str]], mark: str = "") -> bytes:
    """Some lines of a CSV file, the first ones with the ``mark`` before them."""
    text = io.StringIO()
    text.write(mark)
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode()


def _written(cell: Cell) -> str:
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return as_text(cell)


def as_text(cell: str) -> str:
    """The text, which a spreadsheet takes for nothing else."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def refusal(request: HttpRequest, asked: KeysetChangeList) -> HttpResponse | None:
    """The answer where a list understood only a part of what was asked; None where all of it.

    The list leaves the rest out and says so. A file would hold more than was asked for.
    """
    if not asked.ignored:
        return None
    sentence = gettext("Nothing was exported, because this makes no sense in the address: %s")
    told = {"exception": sentence % ", ".join(asked.ignored)}
    return render(request, "400.html", told, status=HTTPStatus.BAD_REQUEST)
