import pytest
from django.utils.translation import gettext, override

from transactions.retelling import retell

WITH_A_NAME = "The account is paused: %s"


def told(message, language, *filling):
    with override(language):
        return gettext(message) % filling


@pytest.mark.parametrize("reader", ["en", "ro", "ru", "pl", "ms"])
@pytest.mark.parametrize("stored_in", ["en", "ro", "ru", "pl", "ms"])
def test_a_sentence_is_told_in_the_language_of_the_reader(stored_in, reader):
    message = "Confirmed: %s count as refunded."
    stored = told(message, stored_in, "12.50 EUR")
    amount = "12,50 EUR" if reader in {"ro", "ru", "pl"} else "12.50 EUR"
    with override(reader):
        assert retell(stored) == told(message, reader, amount)


@pytest.mark.parametrize("language", ["ro", "ru", "pl", "ms"])
def test_a_sentence_without_gaps_is_told_too(language):
    with override(language):
        assert retell("Nothing matches") == gettext("Nothing matches") != "Nothing matches"


def test_a_sentence_in_a_gap_is_told_too():
    inner = told("Confirmed: %s count as refunded.", "ru", "12.50 EUR")
    with override("pl"):
        assert retell(told(WITH_A_NAME, "ro", inner)) == gettext(WITH_A_NAME) % told(
            "Confirmed: %s count as refunded.", "pl", "12,50 EUR"
        )


def test_a_number_stays_as_it_was_written():
    stored = "The text is longer than 007 characters."
    with override("en"):
        assert retell(stored) == stored
    with override("pl"):
        assert "007" in retell(stored)
        assert retell(stored) != stored


def test_a_percent_sign_stays_one():
    with override("pl"):
        assert retell("12.50 EUR back, 30 %") == gettext("%(refunded)s back, %(share)s %%") % {
            "refunded": "12,50 EUR",
            "share": "30",
        }


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Do not honor",
        "%s",
        "100 % of %(amount)s",
        "The account is paused",  # without what comes after it
        "x" * 5000,
        "Confirmed: \u202e\x00 <b>count</b> as nothing",
    ],
)
def test_what_is_none_of_ours_stays_as_it_is(said):
    with override("ro"):
        assert retell(said) == said
