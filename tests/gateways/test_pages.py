from gateways.base import BadRecord
from gateways.pages import read_page


def read(row: str) -> list[int]:
    return [int(part) for part in row.split()]


def test_a_bad_row_is_rejected_and_spoils_nothing():
    page = read_page(["1", "two", "3"], read, str.upper, "next")
    assert page.records == (1, 3)
    assert page.cursor == "next"
    assert page.rejected == (BadRecord("TWO", "invalid literal for int() with base 10: 'two'"),)


def test_a_row_may_hold_several_records_or_none():
    assert read_page(["1 2", "", "3"], read, str, "").records == (1, 2, 3)
