"""What the log may say, whoever logs it: through the configuration that is in force."""

import io
import json
import logging
import logging.config
import time
import uuid

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from refunds_site import logs
from refunds_site.masking import LEFT_OUT, mask_event, mask_text

TOKEN = "rd_" + "aB3-_x" * 7  # as ApiToken.issue makes them


@pytest.fixture(params=[True, False], ids=["debug", "production"])
def written(request):
    """A logger of ours and one of others, and what their events came out as."""
    configuration = logs.configuration(debug=request.param)
    stream = io.StringIO()
    handler = logging.config.DictConfigurator(configuration)
    formatter = handler.configure_formatter(configuration["formatters"]["structured"])
    to_stream = logging.StreamHandler(stream)
    to_stream.setFormatter(formatter)
    theirs = logging.getLogger(f"of others {uuid.uuid4()}")
    theirs.propagate, theirs.handlers = False, [to_stream]
    ours = structlog.wrap_logger(
        theirs, processors=logs.STRUCTLOG["processors"], wrapper_class=structlog.stdlib.BoundLogger
    )
    return ours, theirs, stream.getvalue


SECRETS = [
    ("key sk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39"),
    ("rk_test_51abcdefgh and whsec_abcdefgh12", "abcdefgh"),
    (f"Authorization: Token {TOKEN}", "aB3"),
    ("Authorization: Bearer abcdefgh12", "abcdefgh"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJ"),
    ("sealed1.01234567.AAAA.BBBB", "AAAA"),
    ('{"client_secret": "canary-canary"}', "canary"),
    ("postgres://refunds:canary@db:5432/desk", "canary"),
    ("card 4242 4242 4242 4242 of hers", "4242 4242"),
    ("card ٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "٤٢٤٢٤"),
    ("mail from Jane.Doe+shop@mail.example.com!", "Jane"),
    ("Почта: анна@пример.рф", "анна"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_no_secret_and_no_address_is_written(written, text, secret):
    ours, theirs, said = written
    ours.info("an event", why=text, nested={"list": [text, {"more": (text,)}]})
    theirs.warning("of others: %s", text)
    try:
        raise ValueError(text)  # noqa: TRY301
    except ValueError:
        theirs.exception("broke")
        ours.exception("broke as well")
    assert said().count("an event") == 1
    assert said().count("ValueError") >= 2
    assert secret not in said()
    assert json.dumps(secret)[1:-1] not in said()


@pytest.mark.parametrize(
    "key",
    ["password", "api_key", "client_secret", "security_key", "access_token", "Authorization",
     "cookie", "credentials", "HTTP_COOKIE", "transactionKey", "idempotency_key"],
)  # fmt: skip
def test_what_is_called_a_secret_is_one(key):
    assert mask_event(None, "info", {key: "canary"}) == {key: "[secret]"}
    assert mask_event(None, "info", {"in": {key: ["canary"]}}) == {"in": {key: "[secret]"}}


@pytest.mark.parametrize(
    "key", ["customer_name", "email", "note", "words", "body", "payer", "phone"]
)
def test_what_people_said_and_are_called_is_left_out(key):
    assert mask_event(None, "info", {key: "Ana Popescu"}) == {key: LEFT_OUT}


def test_what_is_needed_stays():
    event = {
        "event": "reconciled", "account": "stripe-main", "refund": str(uuid.uuid4()),
        "pk": uuid.UUID(int=5), "path": "/webhooks/stripe/main/", "milliseconds": 12, "ok": True,
        "none": None, "from_key_id": "1a2b3c4d", "fingerprint": "0123456789abcdef",
        "uuid": "a1b2c3d4-0000-4000-8004-242424242424", "id": "ch_3PqLyjWDarjtT1zd0p7dc",
        "why": "The token is wrong, and celery@host is up at 2026-11-28T12:30:00Z.",
    }  # fmt: skip
    assert mask_event(None, "info", event) == event


def test_nobody_writes_a_line_of_their_own(written):
    ours, theirs, said = written
    ours.info("an event", why="one\r\n2026-01-01 forged\x1b[31m\u2028\x85line")
    theirs.info("of others\nforged %s", "a\rb")
    assert len(said().splitlines()) == 2
    assert "\x1b" not in said()
    assert r"one\r\n2026" in said().replace(r"\\", "\\")


def test_a_traceback_keeps_its_lines():
    text = mask_text("Traceback:\n  File\tx\r\x1b", keep_lines=True)
    assert text == "Traceback:\n  File\tx\\r\\x1b"


class _Odd:
    def __str__(self) -> str:
        return "password=canary"


def test_of_other_objects_their_text_is_masked():
    assert mask_event(None, "info", {"odd": _Odd()}) == {"odd": "password=[secret]"}


@given(st.text(), st.sampled_from([text for text, _ in SECRETS]))
def test_any_text_can_be_logged(text, secret):
    masked = mask_text(f"{text} {secret}")
    assert masked.isprintable()
    assert mask_text(masked) == masked


def test_a_huge_text_is_cut_and_costs_little():
    for text in ("a@" * 10**6, "4 " * 10**6, "://a:" * 10**6, "token " * 10**6, "x" * 10**7):
        started = time.monotonic()
        assert len(mask_text(text)) < 25_000
        assert time.monotonic() - started < 10


def test_no_logger_writes_past_the_mask():
    """Django's own handlers would: to the console in debug mode, and by mail."""
    for name in ("django", "django.server", "django.request", "celery"):
        handlers = logging.getLogger(name).handlers
        assert all(isinstance(each, logging.NullHandler) for each in handlers)
        assert logging.getLogger(name).propagate
