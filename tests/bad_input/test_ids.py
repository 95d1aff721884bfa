"""Ids that are none, of something else, or not one's own to see."""

import json
import uuid

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.rest import make_case, make_refund, make_transaction

from .items import IDS
from .refusing import assert_money_refused, assert_refused

LIST = "/admin/transactions/transaction/"


def addresses(start: str) -> list[str]:
    """Every address of the site under ``start`` that names something, ``{}`` in its place."""
    return sorted(each for each in _walk(get_resolver()) if each.startswith(start) and "{}" in each)


def _walk(resolver: URLResolver, prefix: str = "") -> list[str]:
    found = []
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _walk(pattern, route)
        elif isinstance(pattern, URLPattern):
            parts = ["{}" if part.startswith("<") else part for part in route.split("/")]
            found.append("/".join(parts))
    return found


# A dialog of django-unfold is drawn before anybody looks whom it is about.
QUESTIONS = {"admin/auth/user/{}/remove_second_factors/"}
STAFF = [each for each in addresses("admin/") if "^" not in each]
API = addresses("api/v1/")


def test_all_addresses_are_tried():
    assert len(STAFF) > 40
    assert len(API) > 10


@pytest.mark.parametrize("address", STAFF)
def test_no_page_breaks_on_an_id(doors, untouched, address):
    for each in IDS:
        for method in ("get", "post"):
            response = getattr(doors.browser, method)(f"/{address.replace('{}', each)}")
            asks = address in QUESTIONS and response.status_code == 200
            assert asks or response.status_code in {301, 302, 400, 403, 404, 405}, each
    untouched.check()


@pytest.mark.parametrize("address", API)
def test_the_api_has_nothing_under_it(doors, untouched, address):
    for each in IDS:
        for method in ("get", "post"):
            response = getattr(doors.api, method)(f"/{address.replace('{}', each)}", {})
            assert response.status_code in {301, 404, 405}, each
            assert response.status_code == 301 or response.json()["detail"]
    untouched.check()


@pytest.mark.parametrize("name", ["transaction", "account", "customer", "owner", "cursor"])
@pytest.mark.parametrize("path", ["transactions", "refunds", "attention"])
def test_no_filter_of_a_list_breaks_on_an_id(doors, untouched, path, name):
    for each in IDS:
        response = doors.api.get(f"/api/v1/{path}/?{name}={each}")
        assert response.status_code in {200, 400}, each
        assert response.status_code == 400 or response.json()["results"] == [], each
    untouched.check()


@pytest.mark.parametrize(
    "path",
    [
        "transactions/transaction", "transactions/customer", "refunds/refund", "refunds/attention",
        "refunds/webhookevent", "campaigns/campaign", "gateways/processoraccount",
        "refunds/approvalrule", "auth/user", "auth/group", "access/apitoken",
        "refunds/refundreason",
    ],
)  # fmt: skip
def test_no_table_breaks_on_an_id(doors, untouched, path):
    for each in IDS:
        query = "&".join(f"{name}={each}" for name in ("p", "account", "customer", "o", "q"))
        response = doors.browser.get(f"/admin/{path}/?{query}")
        assert response.status_code in {200, 302, 400}, each
    for name in ("e", "all", "id__exact", "account__slug__startswith", "_to_field", "_popup"):
        response = doors.browser.get(f"/admin/{path}/?{name}=9")
        assert response.status_code in {200, 302, 400}, name
    untouched.check()


@pytest.mark.parametrize(
    "token", ["", "1", "abc", "[]", "9" * 400, "{}", str(uuid.UUID(int=0))[:-1]]
)
def test_a_dialog_has_its_own_token(doors, untouched, token):
    assert_money_refused(doors.refund_by_form(token=token), untouched)


def test_an_id_of_a_refund_in_other_writing_is_the_same_refund(doors):
    refund = make_refund(doors.payment, 100)
    for written in (str(refund.pk).upper(), refund.pk.hex):
        assert doors.api.get(f"/api/v1/refunds/{written}/").status_code == 404
        assert doors.browser.get(f"/admin/refunds/refund/{written}/change/").status_code in {
            200,
            404,
        }


def test_a_payment_that_was_there_once(doors):
    payment = make_transaction(doors.account)
    key = payment.pk
    payment.delete()
    untouched = doors.untouched()
    payment.pk = key
    assert_money_refused(doors.refund_by_form(payment), untouched)
    assert_money_refused(doors.refund_by_api(payment), untouched)


def test_the_id_of_a_processor_is_no_id_here(doors, untouched):
    address = f"transactions/{doors.payment.external_id}/refunds"
    body = json.dumps({"amount": "1.00", "reason": "other"})
    response = doors.say(address, body)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    untouched.check()


@pytest.mark.parametrize("value", ["[1]", '["1"]', '{"id": 1}', "1", "null", "true"])
def test_the_id_in_a_ruling_is_text(doors, value):
    refund = make_refund(doors.payment, 100)
    untouched = doors.untouched()
    body = f'{{"verdict": "happened", "evidence": "Seen.", "provider_refund_id": {value}}}'
    assert_money_refused(doors.say(f"refunds/{refund.pk}/rulings", body), untouched)


@pytest.mark.parametrize("owner", [*IDS[:12], "9" * 25, "[]", "\x00"])
def test_a_case_goes_to_a_person(doors, owner):
    case = make_case(make_refund(doors.payment, 100), "made_outside")
    untouched = doors.untouched()
    address = f"/admin/refunds/attention/{case.pk}/hand_over/"
    assert_refused(doors.browser.post(address, {"to": owner}), untouched)


@pytest.mark.parametrize("name", ["", "nothing", "9" * 5_000, "\x00", "<script>", "ch_1 ch_2"])
def test_an_exchange_is_for_a_payment(doors, untouched, name):
    address = f"{LIST}{doors.payment.pk}/exchange/"
    response = doors.browser.post(address, {"payment": name}, follow=True)
    assert "error" in {message.level_tag for message in response.context["messages"]}
    untouched.check()
