"""What comes in as a body: over a real address, as programs send it."""

import pytest

from tests.rest import assert_problem, client_of, make_refund, make_transaction
from transactions.models import Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def send():
    """POST raw bytes to the address that writes a note."""
    client, address = client_of("agent"), f"/api/v1/transactions/{make_transaction().pk}/notes/"

    def send(body, content_type="application/json"):
        return client.generic("POST", address, body, content_type)

    return send


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"],
)
def test_json_in_utf8_is_read(send, content_type):
    response = send('{"text": "Grüße, 東京 🎌"}'.encode(), content_type)
    assert response.status_code == 201
    assert response.json()["text"] == "Grüße, 東京 🎌"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
    ],
)
def test_another_content_type_is_415(send, content_type):
    assert_problem(send(b'{"text": "hello"}', content_type), 415, "unsupported_media_type")
    assert not Note.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"text": "hello"',
        b"{'text': 'hello'}",
        b'{"text": "hello"} and more',
        b'{"text": "first", "text": "second"}',
        b'{"text": {"a": "1", "a": "2"}}',
        b'{"text": NaN}',
        b'{"text": -Infinity}',
        b'{"text": "\\ud800"}',
        b'{"\\udfff": "hello"}',
        b'{"text": ["\\ud83d"]}',
        b'{"text": "\xff"}',
        b'\xef\xbb\xbf{"text": "hello"}',
        '{"text": "hello"}'.encode("utf-16"),
        b'"hello"',
        b'["text", "hello"]',
        b"null",
        b"1" * 5000,
        b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"text": ' + b'{"a":' * 100_000,
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    ],
)
def test_what_is_not_one_clear_object_is_400(send, body):
    assert_problem(send(body), 400, "parse_error")
    assert not Note.objects.exists()


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 101, "9" * 101])
def test_a_number_beyond_reason_is_refused_in_our_words(send, number):
    document = assert_problem(send(f'{{"text": {number}}}'), 400, "parse_error")
    assert document["detail"] == (
        "The body is not valid JSON: a number in it has more than 100 digits."
    )


@pytest.mark.parametrize(
    "value",
    ["5", "5.0", "1e309", "true", "null", "[]", "{}", '["hello"]', '"\\u0000"', '""', '" "'],
)
def test_what_is_no_text_is_400_for_its_field(send, value):
    document = assert_problem(send(f'{{"text": {value}}}'), 400, "invalid")
    assert list(document["errors"]) == ["text"]
    assert not Note.objects.exists()


def test_unknown_fields_are_named(send):
    document = assert_problem(send('{"text": "hello", "author": "me", "id": 1}'), 400)
    assert set(document["errors"]) == {"author", "id"}
    assert not Note.objects.exists()


def test_a_body_beyond_2_mb_is_413(send):
    assert_problem(send(b'{"text": "' + b"x" * 2**21 + b'"}'), 413, "body_too_large")


def test_an_empty_body_lacks_its_fields(send):
    assert list(assert_problem(send(b""), 400)["errors"]) == ["text"]


def test_unknown_names_are_not_repeated_at_length(send):
    body = "{" + ",".join(f'"{n:0>5000}": 1' for n in range(100)) + "}"
    assert len(send(body).content) < 5000


@pytest.mark.parametrize("action", ["cancel", "retry", "check", "approve", "reject"])
def test_actions_take_no_fields(action):
    refund = make_refund(make_transaction(), 100)
    client = client_of("admin")
    assert_problem(client.post(f"/api/v1/refunds/{refund.pk}/{action}/", {"status": "x"}), 400)
