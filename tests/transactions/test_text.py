"""Text from outside, made fit for a column."""

import pytest

from transactions.text import as_stored, clean


@pytest.mark.parametrize(
    "unseen", ["\u200b", "\u200e", "\u200f", "\ufeff", "\u2060", "\xad", "\x07", "\u202e"]
)
def test_what_cannot_be_seen_goes(unseen):
    assert clean(f"{unseen}Ana{unseen} ", 10) == "Ana"
    assert clean(unseen, 10) == ""


def test_what_joins_letters_and_pictures_stays():
    assert (
        clean("می\u200cخواهم \U0001f469\u200d\U0001f4bb", 30)
        == "می\u200cخواهم \U0001f469\u200d\U0001f4bb"
    )


def test_what_a_processor_says_is_stored_without_card_numbers():
    assert as_stored("Paid\nwith 4242 4242 4242 4242.", 100) == "Paid with [card 4242]."
    assert as_stored("1000000000000008", 100) == "1000000000000008"
