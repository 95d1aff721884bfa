import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.base import Failure, FailureCode
from gateways.errors import OutcomeUnknown
from gateways.scrubbing import EXCERPT_CHARS, Scrubber

SECRET = "sk_test_/+&=<>\"'é 1"
OTHER = "second secret"
CARDS = ["4242424242424242", "378282246310005", "6011111111111117", "4222222222222"]


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        SECRET.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        b64(SECRET),
        b64(f"{SECRET}:"),
        b64(f"{SECRET}:{OTHER}"),
        b64(f"{OTHER}:{SECRET}"),
    ],
)
def test_a_secret_is_masked_in_every_form_it_travels_in(form):
    scrubbed = Scrubber([SECRET, OTHER]).scrub(f"before {form} after")
    assert scrubbed == "before [secret] after"


def test_the_longer_of_two_secrets_is_masked_whole():
    assert Scrubber(["abc", "abcdef"]).scrub("abcdef abc") == "[secret] [secret]"


def test_an_empty_secret_masks_nothing():
    assert Scrubber(["", ""]).scrub("text") == "text"


def test_a_secret_may_be_added_later():
    scrubber = Scrubber()
    assert scrubber.scrub("token-1") == "token-1"
    scrubber.add("token-1")
    scrubber.add("token-1")
    assert scrubber.scrub("token-1") == "[secret]"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("security_key=abc123&type=refund", "security_key=[secret]&type=refund"),
        ('{"access_token":"A21.x-y","n":1}', '{"access_token":"[secret]","n":1}'),
        ('{"access_token" : "A21.x-y"}', '{"access_token" : "[secret]"}'),
        ("<transactionKey>9aB</transactionKey>", "<transactionKey>[secret]</transactionKey>"),
        ("<name>x</name><transactionKey>9</transactionKey>\n<refId>R</refId>",
         "<name>x</name><transactionKey>[secret]</transactionKey>\n<refId>R</refId>"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer [secret]"),
        ("Authorization: Basic YWJjZGVmZ2g=", "Authorization: Basic [secret]"),
        ("authorization: token1", "authorization: [secret]"),
        ('"Authorization": "Bearer abcdefgh12"', '"Authorization": "Bearer [secret]"'),
        ("card[cvc]=123&a=b", "card[cvc]=[secret]&a=b"),
        ("client_secret=pi_1_secret_2, done", "client_secret=[secret], done"),
        ("my_security_key_id is fine", "my_security_key_id is fine"),
        ("the password is wrong", "the password is wrong"),
    ],
)  # fmt: skip
def test_what_is_called_a_secret_is_masked(text, scrubbed):
    assert Scrubber().scrub(text) == scrubbed


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("separator", ["", " ", "-", "+"])
def test_card_numbers_keep_their_last_four_digits_only(card, separator):
    written = separator.join(card[place : place + 4] for place in range(0, len(card), 4))
    assert Scrubber().scrub(f"paid with {written}.") == f"paid with [card {card[-4:]}]."


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # fails the check
        "424242424242",  # too short
        "42424242424242424242",  # too long
        "ch_4242424242424242",
        "4242424242424242abc",
        "1795335762",
        "XXXX1111",
    ],
)
def test_other_numbers_stay(text):
    assert Scrubber().scrub(text) == text


def test_an_excerpt_is_text_of_limited_length():
    excerpt = Scrubber().excerpt(b"\xff\x00" + b"x" * 1_000_000)
    assert len(excerpt) == EXCERPT_CHARS
    assert excerpt.startswith("��x")


def test_a_short_excerpt_is_whole():
    assert Scrubber().excerpt("größer".encode()) == "größer"


@given(st.integers(min_value=0, max_value=9000), st.integers(min_value=0, max_value=3))
def test_no_excerpt_shows_a_part_of_a_secret(place, repeats):
    # What stands before shrinks when it is scrubbed, and moves the end of the window forward.
    secret = "abcdefghijklmnopqrstuvwxyz" * 4
    data = (f"security_key={'9' * 900}&" * repeats).encode() + b"-" * place + secret.encode()
    assert "abc" not in Scrubber([secret]).excerpt(data + b"-" * 5000)


def test_what_a_processor_says_is_kept_without_card_numbers():
    said = "Card 4242 4242 4242 4242 is blocked."
    assert Failure(FailureCode.OTHER, "05", said).message == "Card [card 4242] is blocked."
    assert str(OutcomeUnknown(said)) == "Card [card 4242] is blocked."
