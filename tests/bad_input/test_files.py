"""Files that are no list of payments, read by the import and by the form of a campaign."""

import gzip
import io
import zipfile

import pytest

from campaigns.models import Campaign, CampaignItem
from tests.rest import make_transaction
from transactions.imports import import_csv
from transactions.models import Transaction

from .refusing import assert_refused

HEADER = "external_id,amount,currency,created_at,status\n"
ROW = "{},1.00,USD,2026-07-01T12:00:00Z,settled\n"
GOOD = HEADER + ROW.format("ch_new")
NAMES = "payment,amount\nch_new,1.00\n"


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("payments.csv", text + "0" * 5_000_000)
    return file.getvalue()


def broken(text: str) -> dict[str, bytes]:
    """The same list of payments, with whatever may be wrong about a file."""
    header, row = text.splitlines()
    cells = row.split(",")
    return {
        "empty": b"",
        "only blanks": b" \r\n\t\n",
        "only a mark": b"\xef\xbb\xbf",
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "Windows-1252": text.replace("new", "n\u00e9w").encode("cp1252"),
        "Shift-JIS": text.replace("new", "\u5186").encode("shift_jis"),
        "zero bytes": text.replace("new", "n\0w").encode(),
        "semicolons": text.replace(",", ";").encode(),
        "tabs": text.replace(",", "\t").encode(),
        "a column too few": text.replace(f"{header.split(',')[0]},", "", 1).encode(),
        "a column twice": text.replace(header, f"{header},{header.split(',')[0]}").encode(),
        "a column renamed": text.replace(header.split(",")[0], "Payment Id", 1).encode(),
        "a column of another file": text.replace(header, f"{header},password").encode(),
        "a cell too many": text.replace(row, f"{row},x").encode(),
        "a cell too few": f"{header}\n{','.join(cells[:-1])}\n".encode(),
        "an open quotation": text.replace(cells[0], f'"{cells[0]}').encode(),
        "a stray quotation": text.replace(cells[0], f'"ch"_{cells[0]}').encode(),
        "a row of a megabyte": text.replace("new", "n" * 1_000_000).encode(),
        "garbage at its end": text.encode() + b"\x89PNG\r\n\x1a\n\xff\xfe",
        "a zip": zipped(text),
        "a gzip": gzip.compress(text.encode()),
        "a page": b"<html><body>Not found</body></html>",
        "JSON": b'[{"payment": "ch_new"}]',
    }


IMPORTS, CAMPAIGNS = broken(GOOD), broken(NAMES)


@pytest.mark.parametrize("name", IMPORTS)
def test_no_import_of_it(doors, untouched, name):
    report = import_csv(io.BytesIO(IMPORTS[name]), doors.account)
    assert report.error_count
    assert all(str(error).strip().endswith(".") for error in report.errors)
    untouched.check()


@pytest.fixture
def make_campaign(doors):
    def make(content: bytes, name: str = "payments.csv"):
        file = io.BytesIO(content)
        file.name = name
        values = {
            "name": "Outage", "percent": "100", "reason": "other", "most_refunds": "5",
            "most_money": "5000", "file": file,
        }  # fmt: skip
        return doors.browser.post("/admin/campaigns/campaign/new/", values)

    return make


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_no_campaign_of_it(make_campaign, untouched, name):
    assert_refused(make_campaign(CAMPAIGNS[name]), untouched)


def test_a_campaign_of_a_header_alone(make_campaign, untouched):
    assert "no payment" in assert_refused(make_campaign(b"payment\n"), untouched)


def test_a_campaign_of_too_many_rows(make_campaign, untouched):
    text = "payment\n" + "".join(f"ch_{number}\n" for number in range(50_001))
    assert "Split it" in assert_refused(make_campaign(text.encode()), untouched)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nb.csv", "=1+1.csv", "x" * 500])
def test_the_name_of_a_file_does_not_matter(make_campaign, name):
    assert make_campaign(NAMES.encode(), name).status_code == 302
    assert Campaign.objects.count() == 1


@pytest.mark.parametrize("name", ["..", "x" * 5_000])
def test_a_file_without_a_name_is_no_file(make_campaign, untouched, name):
    assert_refused(make_campaign(NAMES.encode(), name), untouched)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A1", "＝1"])
def test_formulas_are_text_in_a_campaign_and_name_no_payment(make_campaign, cell):
    assert make_campaign(f'payment\n"{cell}"\n'.encode()).status_code == 302
    assert CampaignItem.objects.get().named == cell


def test_ids_that_come_twice_in_a_file_or_in_two(doors):
    twice = HEADER + ROW.format("ch_a") + ROW.format("ch_a")
    untouched = doors.untouched()
    assert import_csv(io.BytesIO(twice.encode()), doors.account).error_count == 1
    untouched.check()
    once = (HEADER + ROW.format("ch_a")).encode()
    assert import_csv(io.BytesIO(once), doors.account).new == 1
    again = import_csv(io.BytesIO(once), doors.account)
    assert (again.new, again.unchanged, again.error_count) == (0, 1, 0)
    assert Transaction.objects.filter(external_id="ch_a").count() == 1


def test_more_than_is_left_of_a_payment_over_several_rows(doors, make_campaign):
    """A payment counts once in a campaign, whatever the rows of a file sum up to."""
    from campaigns.preparing import prepare

    payment = make_transaction(doors.account, external_id="ch_sum")
    rows = "payment,amount\nch_sum,60.00\nch_sum,60.00\nch_sum,100.01\n"
    assert make_campaign(rows.encode()).status_code == 302
    campaign = Campaign.objects.get()
    prepare(campaign, lambda: True)
    included = campaign.items.filter(state="included")
    assert [item.amount_minor for item in included] == [6_000]
    assert all(item.why for item in campaign.items.exclude(state="included"))
    payment.refresh_from_db()
    assert payment.reserved_minor == 0


def test_a_file_of_several_currencies(doors, make_campaign):
    from campaigns.preparing import prepare

    make_transaction(doors.account, external_id="ch_yen", currency="JPY")
    make_transaction(doors.account, external_id="ch_usd", currency="USD")
    rows = "payment,amount\nch_yen,1.50\nch_usd,1.50\n"
    assert make_campaign(rows.encode()).status_code == 302
    campaign = Campaign.objects.get()
    prepare(campaign, lambda: True)
    yen = campaign.items.get(named="ch_yen")
    assert (yen.state, "JPY" in yen.why) == ("excluded", True)
    assert campaign.items.get(named="ch_usd").amount_minor == 150
