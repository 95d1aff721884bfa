"""What people write: kept as it is and drawn escaped, or refused with a sentence."""

import io
import json
from urllib.parse import urlencode

import pytest
from django.utils.html import escape

from refunds.models import Attention, Refund, RefundReason
from tests.rest import make_case, make_refund
from transactions.imports import import_csv
from transactions.models import Note, SavedView, Transaction

from .items import HARMLESS, LINES, MEGABYTE, NEVER_KEPT, REFUSED, SURROGATES
from .refusing import assert_money_refused, assert_refused

LIST = "/admin/transactions/transaction/"
harmless = pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
refused = pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
never_kept = pytest.mark.parametrize("text", NEVER_KEPT.values(), ids=NEVER_KEPT)
# What no page may contain as markup.
MARKUP = ("<script>alert", "<img src=x", "<svg/onload", 'https://evil.example"', 'href="javascript')


def assert_drawn(doors, address: str) -> str:
    """The page is there, and none of what was written became markup. Its text."""
    response = doors.browser.get(address)
    assert response.status_code == 200
    html = response.content.decode()
    assert not [each for each in MARKUP if each in html]
    return html


@harmless
def test_the_note_of_a_refund(doors, text):
    assert doors.refund_by_form(note=text, words=text).status_code == 302
    refund = Refund.objects.get()
    assert refund.note == text.strip()
    for address in (
        f"{LIST}{doors.payment.pk}/change/",
        f"/admin/refunds/refund/{refund.pk}/change/",
    ):
        html = assert_drawn(doors, address)
        assert all(escape(line) in html for line in text.split("\r\n"))
    told = doors.api.get(f"/api/v1/refunds/{refund.pk}/").json()
    assert told["note"] == refund.note


@harmless
def test_the_note_of_a_refund_over_the_api(doors, text):
    assert doors.refund_by_api(note=text).status_code == 202
    assert Refund.objects.get().note == text.strip()
    assert_drawn(doors, f"{LIST}{doors.payment.pk}/change/")


@harmless
def test_a_note_on_a_payment(doors, text):
    assert doors.browser.post(f"{LIST}{doors.payment.pk}/note/", {"text": text}).status_code == 302
    response = doors.say(f"transactions/{doors.payment.pk}/notes", json.dumps({"text": text}))
    assert response.status_code == 201
    assert Note.objects.count() == 2
    assert_drawn(doors, f"{LIST}{doors.payment.pk}/change/")


@harmless
def test_what_a_file_says_of_a_payment(doors, text):
    quoted = text.replace('"', '""')
    names = (
        "external_id,amount,currency,created_at,status,customer_name,order_reference,description"
    )
    row = f'ch_new,1.00,USD,2026-07-01T12:00:00Z,settled,"{quoted}","{quoted}","{quoted}"'
    report = import_csv(io.BytesIO(f"{names}\n{row}\n".encode()), doors.account)
    assert not report.errors
    payment = Transaction.objects.get(external_id="ch_new")
    assert_drawn(doors, LIST)
    assert_drawn(doors, f"{LIST}{payment.pk}/change/")
    assert_drawn(doors, f"{LIST}{payment.pk}/refund/")
    assert doors.api.get(f"/api/v1/transactions/{payment.pk}/").status_code == 200


@harmless
def test_a_search_and_a_view_of_it(doors, text):
    assert_drawn(doors, f"{LIST}?{urlencode({'q': text})}")
    found = doors.api.get("/api/v1/transactions/", {"search": text})
    assert found.status_code == (200 if len(text) > 1 else 400)  # of one letter it finds too much
    saved = doors.browser.post(f"{LIST}views/save/?{urlencode({'q': text})}", {"name": text[:60]})
    assert saved.status_code == 302
    assert SavedView.objects.count() == 1
    assert_drawn(doors, LIST)


@harmless
def test_the_outcome_of_a_case_and_evidence(doors, text):
    case = make_case(make_refund(doors.payment, 100), "made_outside", text[:200])
    page = f"/admin/refunds/attention/{case.pk}/change/"
    assert_drawn(doors, page)
    address = f"/admin/refunds/attention/{case.pk}/accept/"
    assert doors.browser.post(address, {"note": text}).status_code in {200, 302}
    assert_drawn(doors, page)
    assert doors.api.get(f"/api/v1/attention/{case.pk}/").status_code == 200


@harmless
def test_the_label_of_a_reason_and_the_name_of_a_person(doors, text):
    RefundReason.objects.filter(code="other").update(label=text[:100])
    doors.api.person.first_name = text[:150]
    doors.api.person.save()
    doors.refund_by_form()
    for address in (LIST, f"{LIST}{doors.payment.pk}/change/", f"{LIST}{doors.payment.pk}/refund/"):
        assert_drawn(doors, address)


@refused
@pytest.mark.parametrize("name", ["note", "words"])
def test_what_a_refund_may_not_say(doors, untouched, name, text):
    assert_money_refused(doors.refund_by_form(**{name: text}), untouched)


@never_kept
def test_what_is_kept_in_no_text_of_a_refund(doors, untouched, text):
    for name in ("note", "words"):
        said = assert_money_refused(doors.refund_by_form(**{name: text}), untouched)
        assert "This looks like a" in said
    for name in ("note", "reason", "another"):
        assert_money_refused(doors.refund_by_api(**{name: text}), untouched)


@never_kept
def test_nor_in_any_other_text(doors, text):
    refund = make_refund(doors.payment, 100)
    case = make_case(refund, "made_outside")
    untouched = doors.untouched()
    page = f"/admin/refunds/attention/{case.pk}/accept/"
    assert_money_refused(doors.browser.post(page, {"note": text}), untouched)
    said = [
        (f"attention/{case.pk}/accept", {"note": text}),
        (f"refunds/{refund.pk}/rulings", {"verdict": "did_not", "evidence": text}),
        (f"refunds/{refund.pk}/reject", {"why": text}),
    ]
    for address, body in said:
        assert_money_refused(doors.say(address, json.dumps(body)), untouched)
    note = {"text": text}
    response = doors.browser.post(
        f"{LIST}{doors.payment.pk}/note/", note, headers={"HX-Request": "true"}
    )
    assert_refused(response, untouched)
    response = doors.say(f"transactions/{doors.payment.pk}/notes", json.dumps(note))
    assert "This looks like a" in response.content.decode()
    assert_refused(response, untouched)
    response = doors.browser.post(f"{LIST}views/save/?q=ana", {"name": text[:60]})
    assert_refused(response, untouched)


@pytest.mark.parametrize(
    "text",
    ["Order task_live_show", "sk_live_", "my sk_test_1234567890", "whsec_…", "risk_live_1234"],
)
def test_what_only_looks_a_little_like_a_key(doors, text):
    assert doors.refund_by_form(note=text).status_code == 302


@refused
@pytest.mark.parametrize("name", ["amount", "reason", "token", "expected_refundable"])
def test_what_no_field_of_the_dialog_may_be(doors, untouched, name, text):
    assert_money_refused(doors.refund_by_form(**{name: text}), untouched)


@refused
@pytest.mark.parametrize("name", ["note", "reason", "amount", "expected_refundable", "another"])
def test_what_no_field_of_the_api_may_be(doors, untouched, name, text):
    assert_money_refused(doors.refund_by_api(**{name: text}), untouched)


@pytest.mark.parametrize("value", [5, 1.5, True, None, [], {}, ["a"], {"a": "b"}], ids=repr)
@pytest.mark.parametrize("name", ["note", "reason"])
def test_text_over_the_api_is_text(doors, untouched, name, value):
    assert_money_refused(doors.refund_by_api(**{name: value}), untouched)


@pytest.mark.parametrize("half", SURROGATES)
@pytest.mark.parametrize("name", ["note", "reason", "amount"])
def test_halves_of_characters(doors, untouched, name, half):
    body = json.dumps({"amount": "1.00", "reason": "other"} | {name: "HALF"})
    address = f"transactions/{doors.payment.pk}/refunds"
    assert_money_refused(doors.say(address, body.replace("HALF", half)), untouched)
    body = f'{{"amount": "1.00", "reason": "other", "{half}": ""}}'
    assert_money_refused(doors.say(address, body), untouched)


@refused
def test_what_no_note_may_be(doors, untouched, text):
    address = f"{LIST}{doors.payment.pk}/note/"
    response = doors.browser.post(address, {"text": text}, headers={"HX-Request": "true"})
    assert_refused(response, untouched)
    response = doors.say(f"transactions/{doors.payment.pk}/notes", json.dumps({"text": text}))
    assert_refused(response, untouched)


@refused
def test_what_no_case_may_hear(doors, text):
    refund = make_refund(doors.payment, 100)
    case = make_case(refund, "made_outside")
    untouched = doors.untouched()
    for step in ("accept", "count_as_ours"):
        address = f"/admin/refunds/attention/{case.pk}/{step}/"
        assert_money_refused(doors.browser.post(address, {"note": text}), untouched)
        response = doors.say(f"attention/{case.pk}/{step}", json.dumps({"note": text}))
        assert_money_refused(response, untouched)
    for name in ("evidence", "provider_refund_id", "verdict"):
        body = {"verdict": "happened", "evidence": "Seen.", "provider_refund_id": "re_1"}
        response = doors.say(f"refunds/{refund.pk}/rulings", json.dumps(body | {name: text}))
        assert_money_refused(response, untouched)
    assert Attention.objects.get(pk=case.pk).closed_at is None


@refused
@pytest.mark.parametrize("name", ["name", "note", "words", "most_money", "percent", "most_refunds"])
def test_what_no_campaign_may_say(doors, untouched, name, text):
    values = {
        "name": "Outage", "percent": "100", "reason": "other", "most_refunds": "5",
        "most_money": "5000", "file": io.BytesIO(b"payment\nch_1\n"),
    }  # fmt: skip
    response = doors.browser.post("/admin/campaigns/campaign/new/", values | {name: text})
    assert_refused(response, untouched)


@refused
@pytest.mark.parametrize("column", ["external_id", "customer_name", "description", "status"])
def test_what_no_file_may_say(doors, untouched, column, text):
    cells = {
        "external_id": "ch_new", "amount": "1.00", "currency": "USD", "status": "settled",
        "created_at": "2026-07-01T12:00:00Z", "customer_name": "", "description": "",
    } | {column: text}  # fmt: skip
    quoted = ",".join('"{}"'.format(cell.replace('"', '""')) for cell in cells.values())
    report = import_csv(io.BytesIO(f"{','.join(cells)}\n{quoted}\n".encode()), doors.account)
    assert report.errors
    untouched.check()


@pytest.mark.parametrize("text", ["\x00", LINES, MEGABYTE], ids=["zero byte", "lines", "megabyte"])
def test_what_no_view_is_called(doors, untouched, text):
    response = doors.browser.post(f"{LIST}views/save/?q=ana", {"name": text})
    assert_refused(response, untouched)


def test_line_ends_reach_no_header_and_no_log(doors, caplog):
    for text in ("a\r\nSet-Cookie: evil=1", "a\nSet-Cookie: evil=1", "\u2028evil", "\x85evil"):
        response = doors.browser.get(LIST, {"q": text})
        assert "evil" not in str(response.headers)
        saved = doors.browser.post(f"{LIST}views/save/?{urlencode({'q': text})}", {"name": text})
        assert "evil=1" not in str(saved.cookies)
        assert "\n" not in saved.headers.get("Location", "")
        doors.browser.get(f"/admin/nothing/{text}")
    assert not [each for each in caplog.messages if "\nSet-Cookie" in each or "\nevil" in each]
