"""CSV files in, all or nothing: every file that somebody may bring, and what is said about it."""

from __future__ import annotations

import csv
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from gateways.models import ProcessorAccount
from gateways.money import Money
from tests.audit.lines import told
from transactions import csv_file
from transactions.csv_rows import OPTIONAL, REQUIRED
from transactions.imports import ERRORS_SHOWN, ImportReport, import_csv
from transactions.models import Customer, Transaction
from transactions.streams import single_flight
from transactions.upsert import store_payments

from .scripted import payment
from .test_amounts import REFUSED

pytestmark = pytest.mark.django_db

HEADER = ",".join(REQUIRED)
ROW = {
    "external_id": "ch_1",
    "amount": "12.50",
    "currency": "USD",
    "created_at": "2026-07-01T14:00:00+02:00",
    "status": "settled",
}
FULL = ROW | {
    "customer_name": "Ольга Petrović 王",
    "customer_email": "Olga@Example.com",
    "method_type": "card",
    "brand": "visa",
    "last4": "0005",
    "wallet": "apple_pay",
    "order_reference": "ORDER-17",
    "description": "Two\ntickets",
    "settled_at": "2026-07-02T04:00:00Z",
    "disputed": "true",
}


@pytest.fixture
def account():
    return ProcessorAccount.objects.create(slug="shop", processor="stripe", mode="test")


def table(*rows: dict[str, str], columns: tuple[str, ...] = REQUIRED) -> str:
    """A CSV text with all columns that any of the rows has."""
    extra = [name for row in rows for name in row if name not in columns]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *dict.fromkeys(extra)])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def take(account: ProcessorAccount, content: str | bytes, **options: bool) -> ImportReport:
    raw = content.encode() if isinstance(content, str) else content
    return import_csv(io.BytesIO(raw), account, **options)


def errors_of(account: ProcessorAccount, content: str | bytes) -> list[str]:
    """What is said about a file that is refused; nothing of it may be stored."""
    report = take(account, content)
    assert report.error_count
    assert not Transaction.objects.exists()
    assert not Customer.objects.exists()
    return [str(error) for error in report.errors]


# --- what goes in ------------------------------------------------------------------------------


def test_every_column_arrives(account):
    report = take(account, table(FULL))
    assert (report.new, report.unchanged, report.error_count) == (1, 0, 0)
    row = Transaction.objects.get()
    assert (row.external_id, row.amount, row.status) == ("ch_1", Money(1250, "USD"), "settled")
    assert (row.account, row.processor, row.mode) == (account, "stripe", "test")
    assert row.created_at == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert row.settled_at == datetime(2026, 7, 2, 4, tzinfo=UTC)
    assert (row.customer_name, row.customer_email) == ("Ольга Petrović 王", "Olga@Example.com")
    assert row.customer == Customer.objects.get(email="olga@example.com")
    assert (row.method_type, row.brand, row.last4, row.wallet) == (
        "card",
        "visa",
        "0005",
        "apple_pay",
    )
    assert (row.order_reference, row.description) == ("ORDER-17", "Two tickets")
    assert row.disputed
    assert (row.refunded_minor, row.reserved_minor, row.refundable_minor) == (0, 0, 1250)


def test_the_required_columns_are_enough_and_cells_may_be_empty(account):
    empty = dict.fromkeys(OPTIONAL, "")
    assert take(account, table(ROW, ROW | empty | {"external_id": "ch_2"})).new == 2
    row = Transaction.objects.get(external_id="ch_2")
    assert (row.method_type, row.disputed, row.settled_at, row.customer) == (
        "other",
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("JPY", "1500", 1500), ("KWD", "1.234", 1234), ("HUF", "10", 1000)],
)
def test_currencies_may_be_mixed_and_have_their_own_decimals(account, currency, amount, minor):
    other = ROW | {"external_id": "ch_2", "currency": currency, "amount": amount}
    assert take(account, table(ROW, other)).new == 2
    assert Transaction.objects.get(external_id="ch_2").amount == Money(minor, currency)


@pytest.mark.parametrize("columns", [REQUIRED, tuple(reversed(REQUIRED))])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n\r\n\r"])
def test_byte_order_mark_line_ends_and_order_of_columns_do_not_matter(
    account, columns, bom, newline
):
    text = table(ROW, ROW | {"external_id": "ch_2"}, columns=columns)
    assert take(account, bom + text.replace("\r\n", newline).encode()).new == 2


def test_line_ends_may_be_mixed_and_the_last_one_missing(account):
    first, second = table(ROW, ROW | {"external_id": "ch_2"}).strip().splitlines()[1:]
    assert take(account, f"{HEADER}\r{first}\r\n\n{second}").new == 2


def test_formulas_are_text_like_any_other(account):
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://example.com")']
    rows = [
        ROW | {"external_id": f"ch_{n}", "customer_name": text} for n, text in enumerate(formulas)
    ]
    assert take(account, table(*rows)).new == len(formulas)
    assert sorted(Transaction.objects.values_list("customer_name", flat=True)) == sorted(formulas)
    (error,) = [
        str(each)
        for each in take(account, table(ROW | {"external_id": "ch_x", "amount": "=1+1"})).errors
    ]
    assert error.startswith("Line 2: amount: Enter the amount with digits and a dot only")


# --- dry run, repetition, known payments -------------------------------------------------------


def test_a_dry_run_writes_nothing_and_says_what_would_happen(account):
    take(account, table(ROW))
    report = take(account, table(ROW, ROW | {"external_id": "ch_2"}), dry_run=True)
    assert (report.new, report.unchanged, report.error_count) == (1, 1, 0)
    assert Transaction.objects.count() == 1


def test_the_same_file_twice_changes_nothing(account):
    take(account, table(FULL))
    before = Transaction.objects.values().get()
    report = take(account, table(FULL))
    assert (report.new, report.unchanged, report.error_count) == (0, 1, 0)
    assert Transaction.objects.values().get() == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", "12.51"),
        ("currency", "EUR"),
        ("status", "captured"),
        ("created_at", "2026-07-01T14:00:01+02:00"),
        ("settled_at", "2026-07-02T04:00:01Z"),
        ("customer_name", "Olga"),
        ("customer_email", "other@example.com"),
        ("method_type", "bank"),
        ("brand", "mastercard"),
        ("last4", "4444"),
        ("wallet", "google_pay"),
        ("order_reference", "ORDER-18"),
        ("description", "One ticket"),
        ("disputed", "false"),
    ],
)
def test_a_file_never_changes_a_payment_that_is_known(account, column, value):
    take(account, table(FULL))
    before = Transaction.objects.values().get()
    report = take(account, table(ROW | {"external_id": "ch_2"}, FULL | {column: value}))
    assert [str(each) for each in report.errors] == [
        f"Line 3: ch_1 is known already, with another {column}. A file does not change payments."
    ]
    assert Transaction.objects.values().get() == before


def test_a_cell_that_says_nothing_contradicts_nothing(account):
    store_payments(account, [payment("ch_1", 1250, description="A lamp")])
    known = ROW | {"created_at": "2026-07-01T12:00:00Z", "description": ""}
    assert take(account, table(known)).unchanged == 1


def test_the_same_id_at_another_account_is_another_payment(account):
    take(account, table(ROW))
    other = ProcessorAccount.objects.create(slug="other", processor="stripe", mode="test")
    assert take(other, table(ROW)).new == 1


@pytest.mark.django_db(transaction=True)
def test_an_import_waits_for_no_sync_and_says_so(account):
    def take_elsewhere() -> ImportReport:
        try:
            return take(account, table(ROW))
        finally:
            connections.close_all()

    with single_flight(account), ThreadPoolExecutor(1) as pool:
        report = pool.submit(take_elsewhere).result()
    assert [str(error) for error in report.errors] == [
        "Another sync or import of this account is running. Wait for it."
    ]


# --- files that are refused --------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"  \n"])
def test_an_empty_file(account, content):
    assert errors_of(account, content) == ["The file is empty."]


def test_a_header_alone_is_an_import_of_nothing(account):
    report = take(account, f"{HEADER}\n")
    assert (report.new, report.unchanged, report.error_count) == (0, 0, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16(account, encoding):
    (error,) = errors_of(account, table(FULL).encode(encoding))
    assert error.endswith("Save the file as CSV UTF-8 (comma delimited).")


@pytest.mark.parametrize(
    ("text", "encoding", "byte"),
    [("é", "windows-1252", "0xE9"), ("王", "shift-jis", "0x89"), ("Ольга", "koi8-r", "0xEF")],
)
def test_other_encodings(account, text, encoding, byte):
    content = table(ROW, ROW | {"external_id": "ch_2", "customer_name": text}).encode(encoding)
    (error,) = errors_of(account, content)
    assert error.startswith(
        f"Line 3: Byte {content.index(text.encode(encoding)[:1]) + 1} of the file, {byte}, is not"
    )


def test_nul_bytes(account):
    (error,) = errors_of(account, table(ROW).replace("ch_1", "ch\0_1"))
    assert error.startswith("Line 2: Byte ")
    assert "0x00" in error


def test_a_zip_with_another_name(account):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", "0" * 10_000_000)
    (error,) = errors_of(account, packed.getvalue())
    assert "Save the file as CSV UTF-8" in error


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_another_separator(account, separator, name):
    content = table(ROW).replace(",", separator)
    assert errors_of(account, content) == [
        f"Line 1: The columns are separated by {name}. Separate them by commas."
    ]


def test_columns_that_are_missing_unknown_or_doubled_are_named(account):
    errors = errors_of(account, "external_id,amount,amount,Currency,created_at,e-mail\n")
    assert [error.partition(". Possible")[0].rstrip(".") for error in errors] == [
        "Line 1: The column currency is missing",
        "Line 1: The column status is missing",
        "Line 1: The column amount is there more than once",
        "Line 1: There is no column “Currency”",
        "Line 1: There is no column “e-mail”",
    ]


def test_rows_of_another_length(account):
    good = table(ROW).splitlines()[1]
    errors = errors_of(account, f"{HEADER}\n{good},\nch_2,1\n\x1a")
    assert errors == [
        "Line 2: The row has 6 values, and the header 5 columns.",
        "Line 3: The row has 2 values, and the header 5 columns.",
        "Line 4: The row has 1 values, and the header 5 columns.",
    ]


def test_quotation_marks_that_do_not_fit(account):
    rows = table(ROW, ROW | {"external_id": "ch_2"}).replace("ch_2", '"ch"_2')
    (error,) = errors_of(account, rows)
    assert error.startswith("Line 3: The quotation marks do not fit")


def test_errors_before_the_place_where_a_file_breaks_are_told_too(account):
    rows = table(ROW | {"amount": "no"}, ROW | {"external_id": "ch_2"}).replace("ch_2", '"ch"_2')
    first, second = errors_of(account, rows)
    assert first.startswith("Line 2: amount")
    assert second.startswith("Line 3: The quotation")


@pytest.mark.parametrize("text", ["x" * 10_000_000, '"' + "x\n" * 20_000])
def test_a_row_without_end(account, text):
    (error,) = errors_of(account, f"{HEADER}\n{text}")
    assert error.startswith("Line 2: The row is longer than 10000 bytes")


def test_a_file_that_is_too_large(account):
    (error,) = errors_of(account, HEADER + "\n" * csv_file.MAX_BYTES)
    assert error == "The file is larger than 20 MB. Split it."


def test_too_many_rows(account, monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)
    rows = [ROW | {"external_id": f"ch_{number}"} for number in range(3)]
    assert errors_of(account, table(*rows)) == ["Line 4: The file has more than 2 rows. Split it."]
    assert take(account, table(*rows[:2])).new == 2


# --- rows that are refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "currency", "sentence"),
    [each for each in REFUSED if isinstance(each[0], str) and "\x00" not in each[0]],
)
def test_amounts(account, text, currency, sentence):
    column = "currency" if "currency code" in sentence else "amount"
    assert errors_of(account, table(ROW | {"amount": text, "currency": currency})) == [
        f"Line 2: {column}: {sentence}"
    ]


BAD_TIME = "Write the time with its time zone, such as 2026-07-01T12:00:00Z."
OUTSIDE = "The time lies in the future or before the year 2000."
CARD = "This looks like a card number, which is not stored: leave the last four digits."
NO_ID = "Write the processor's id, 1 to 100 characters without spaces."


@pytest.mark.parametrize(
    ("column", "text", "sentence"),
    [
        ("external_id", "", NO_ID),
        ("external_id", " ch_1", NO_ID),
        ("external_id", "ch 1", NO_ID),
        ("external_id", "x" * 101, NO_ID),
        ("external_id", "чек", NO_ID),
        ("created_at", "", BAD_TIME),
        ("created_at", "2026-07-01", BAD_TIME),
        ("created_at", "2026-07-01T12:00:00", BAD_TIME),
        ("created_at", "01.07.2026 12:00", BAD_TIME),
        ("created_at", "yesterday", BAD_TIME),
        ("created_at", "2026-02-30T12:00:00Z", BAD_TIME),
        ("created_at", "٢٠٢٦-07-01T12:00:00Z", BAD_TIME),
        ("created_at", "9999-12-31T23:59:59-12:00", OUTSIDE),
        ("created_at", "0001-01-01T00:00:00+14:00", OUTSIDE),
        ("settled_at", "soon", BAD_TIME),
        ("settled_at", "2026-06-30T12:00:00Z", "It lies before created_at."),
        ("status", "", "Write one of: authorized, captured, settled, voided, failed."),
        ("status", "SETTLED", "Write one of: authorized, captured, settled, voided, failed."),
        ("method_type", "cheque", "Write one of: card, bank, wallet, other."),
        ("disputed", "yes", "Write one of: true, false."),
        ("last4", "424", "Write all four digits, such as 0005."),
        ("last4", "٤٢٤٢", "Write all four digits, such as 0005."),
        ("customer_email", "jane", "This is not an e-mail address."),
        ("customer_email", "jane@x@example.com", "This is not an e-mail address."),
        ("customer_email", "jane@example.com" * 30, "This is not an e-mail address."),
        ("customer_email", f"{'x' * 320}@example.com", "The text is longer than 320 characters."),
        ("customer_name", "x" * 301, "The text is longer than 300 characters."),
        ("description", "x" * 1001, "The text is longer than 1000 characters."),
        ("customer_name", "4242424242424242", CARD),
        ("description", "card 4242 4242 4242 4242 exp 12/30", CARD),
        ("order_reference", "4242-4242-4242-4242", CARD),
        ("external_id", "4242424242424242", CARD),
        ("brand", "378282246310005", CARD),
        ("wallet", "４２４２４２４２４２４２４２４２", CARD),
    ],
)
def test_values(account, column, text, sentence):
    assert errors_of(account, table(ROW | {column: text})) == [f"Line 2: {column}: {sentence}"]


def test_a_currency_that_the_account_does_not_take():
    account = ProcessorAccount.objects.create(
        slug="us", processor="authorizenet", mode="test", currency="USD"
    )
    assert errors_of(account, table(ROW | {"currency": "EUR"})) == [
        "Line 2: currency: The account takes USD only."
    ]


def test_all_errors_of_a_row_are_told_at_once(account):
    errors = errors_of(account, table(ROW | {"amount": "x", "status": "x", "created_at": "x"}))
    assert len(errors) == 3


def test_one_bad_row_keeps_all_others_out(account):
    rows = [ROW | {"external_id": f"ch_{number}"} for number in range(2_500)]
    rows[2_400]["amount"] = "0"
    assert errors_of(account, table(*rows)) == [
        "Line 2402: amount: The amount must be more than zero."
    ]


def test_duplicates_within_the_file_are_named_with_both_lines(account):
    rows = [ROW, ROW | {"external_id": "ch_2"}, ROW, ROW | {"amount": "3"}]
    assert errors_of(account, table(*rows)) == [
        "Line 4: ch_1 stands on line 2 as well.",
        "Line 5: ch_1 stands on line 2 as well.",
    ]


def test_lines_are_counted_as_an_editor_counts_them(account):
    rows = table(
        ROW | {"description": "one\ntwo\r\nthree"}, ROW | {"external_id": "ch_2", "amount": "no"}
    )
    (error,) = errors_of(account, rows)
    assert error.startswith("Line 5: amount")


def test_many_errors_are_counted_and_the_first_shown(account):
    rows = [ROW | {"external_id": f"ch_{number}", "amount": "no"} for number in range(120)]
    report = take(account, table(*rows))
    assert (report.error_count, len(report.errors)) == (120, ERRORS_SHOWN)
    assert report.errors[-1].line == ERRORS_SHOWN + 1


def test_a_row_that_only_the_database_refuses_rolls_everything_back(account):
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE transactions_transaction"
            " ADD CONSTRAINT nobody_pays_thirteen CHECK (amount_minor <> 1300)"
        )
    try:
        rows = [ROW | {"external_id": f"ch_{number}"} for number in range(3)]
        rows[1]["amount"] = "13"
        assert errors_of(account, table(*rows)) == [
            "Line 3: The database refuses it: nobody pays thirteen."
        ]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE transactions_transaction DROP CONSTRAINT nobody_pays_thirteen"
            )


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "payments.csv"


def test_the_command_imports(account, path, capsys):
    path.write_text(table(ROW, ROW | {"external_id": "ch_2"}))
    call_command("import_transactions", path, account="shop", dry_run=True)
    assert capsys.readouterr().out == "2 payments would be added to shop; 0 are there already.\n"
    assert not Transaction.objects.exists()
    call_command("import_transactions", path, account="shop")
    call_command("import_transactions", path, account="shop")
    assert capsys.readouterr().out == (
        "2 payments were added to shop; 0 are there already.\n"
        "0 payments were added to shop; 2 are there already.\n"
    )
    assert [(kind, name, data) for kind, _by, name, data in told()] == [
        ("import.made", "shop", {"new": 2, "unchanged": 0}),
        ("import.made", "shop", {"new": 0, "unchanged": 2}),
    ]


def test_the_command_lists_errors_and_fails(account, path, capsys):
    path.write_text(table(*(ROW | {"external_id": f"ch_{n}", "amount": "0"} for n in range(60))))
    with pytest.raises(CommandError, match=r"Nothing was imported: .* 60\. The first 50 are shown"):
        call_command("import_transactions", path, account="shop")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 50
    assert lines[0] == "Line 2: amount: The amount must be more than zero."


def test_the_command_says_what_it_cannot_find(account, path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_transactions", path, account="shop")
    with pytest.raises(CommandError, match=r"There is no account 'shep'\. Known: shop"):
        call_command("import_transactions", path, account="shep")
