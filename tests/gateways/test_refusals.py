"""Every code of the processors' published lists has a meaning here, and exactly one."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from gateways import refusals
from gateways.base import FailureCode
from gateways.failures import Action, explain, explain_open
from gateways.refusals import OpenCode

DOCUMENT = Path(__file__).parents[2] / "docs" / "failures.md"
TABLES = {
    "stripe": (refusals.STRIPE,),
    "paypal": (refusals.PAYPAL,),
    "authorizenet": (refusals.AUTHORIZENET,),
    "nmi": (refusals.NMI, refusals.NMI_REJECTIONS),
}

# What the processors publish of refunds and voids. Approvals and reviews are no refusals.
PUBLISHED = {
    "stripe": """
        charge_already_refunded amount_too_large amount_too_small invalid_charge_amount
        parameter_invalid_integer charge_disputed refund_disputed_payment charge_not_refundable
        charge_expired_for_capture charge_already_captured payment_intent_unexpected_state
        intent_invalid_state balance_insufficient parameter_missing parameter_unknown
        parameter_invalid_empty parameters_exclusive charge_invalid_parameter livemode_mismatch
        testmode_charges_only idempotency_error card_error resource_missing
        idempotency_key_in_use api_error 401 403 409 424 429 500 502 503 504
    """.split(),
    "paypal": """
        CAPTURE_FULLY_REFUNDED CAPTURED_AMOUNT_FULLY_REFUNDED REFUND_AMOUNT_EXCEEDED
        DUPLICATE_INVOICE_ID DUPLICATE_REFUND REFUND_TIME_LIMIT_EXCEEDED
        REFUND_TIME_EXCEEDED_FOR_PAYMENT_SOURCE REFUND_FAILED_INSUFFICIENT_FUNDS
        TRANSACTION_DISPUTED CAPTURE_DISPUTED_PARTIAL_REFUND_NOT_ALLOWED
        REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK PARTIAL_REFUND_NOT_ALLOWED
        MAX_NUMBER_OF_REFUNDS_EXCEEDED MAX_REFUND_LIMIT_EXCEEDED MAX_PAYER_AMOUNT_LIMIT_EXCEEDED
        PENDING_CAPTURE REFUND_NOT_ALLOWED REFUND_NOT_SUPPORTED_FOR_PAYMENT_SOURCE
        REFUND_FAILED_BY_PAYMENT_SOURCE CARD_BRAND_NOT_SUPPORTED REFUND_CAPTURE_CURRENCY_MISMATCH
        CURRENCY_MISMATCH INVALID_CURRENCY_CODE DECIMAL_PRECISION DECIMALS_NOT_SUPPORTED
        CANNOT_BE_ZERO_OR_NEGATIVE CANNOT_BE_NEGATIVE REFUND_AMOUNT_TOO_LOW
        PAYER_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_RESTRICTED
        REFUND_IS_RESTRICTED PLATFORM_FEE_EXCEEDED PLATFORM_FEE_NOT_ENABLED
        MISSING_REQUIRED_PARAMETER INVALID_PARAMETER_SYNTAX INVALID_PARAMETER_VALUE
        INVALID_STRING_LENGTH INVALID_STRING_MAX_LENGTH 401 403 RESOURCE_NOT_FOUND
        INVALID_RESOURCE_ID RESOURCE_CONFLICT PREVIOUS_REQUEST_IN_PROGRESS UNSUPPORTED_MEDIA_TYPE
        RATE_LIMIT_REACHED INTERNAL_SERVER_ERROR SERVICE_UNAVAILABLE INTERNAL_SERVICE_ERROR
    """.split(),
    "authorizenet": [
        str(code)
        for code in chain(
            range(2, 12), (13, 15, 16, 17, 18), range(19, 24), (25, 26, 27, 33, 35, 36, 37, 39),
            (43, 44, 45, 47, 49, 50, 51, 53, 54, 55, 56), range(57, 64), (65, 66, 87, 103),
            (120, 121, 122, 123, 127, 128, 141, 145, 152, 165), range(170, 176), (180, 181),
            range(200, 211), range(243, 249), (250, 251, 254, 261, 310, 311), range(315, 320),
        )
    ] + """
        E00001 E00002 E00003 E00004 E00005 E00006 E00007 E00008 E00009 E00010 E00011 E00013 E00014
        E00015 E00027 E00039 E00040 E00053 E00104 E00155
    """.split(),
    "nmi": [
        *"""
        200 201 202 203 204 220 221 222 223 224 225 226 240 250 251 252 253 260 261 262 263 264
        301 400 410 411 420 421 430 440 441 460 461
        """.split(),
        "refund amount may not exceed the transaction balance",
        "only transactions pending settlement can be voided",
        "invalid transaction id",
        "transaction not found",
        "invalid amount",
        "duplicate transaction",
        "authentication failed",
        "specified api key not found",
        "a capture requires that",
        "the specified amount of",
        "the cc payment type",
        "billing information missing",
        "disabling duplicate check is not allowed",
    ],
}  # fmt: skip


@pytest.mark.parametrize("processor", TABLES)
def test_every_published_code_means_one_thing(processor):
    meanings = [
        code
        for table in TABLES[processor]
        for code in chain(table.refused, table.turned_away, table.open)
    ]
    assert sorted(set(meanings)) == sorted(meanings)
    assert set(PUBLISHED[processor]) <= set(meanings)


@pytest.mark.parametrize("processor", TABLES)
def test_the_document_names_every_code(processor):
    text = DOCUMENT.read_text()
    for table in TABLES[processor]:
        for code in chain(table.refused, table.turned_away, table.open):
            assert f"`{code}`" in text


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_is_explained_with_something_to_do(code):
    found = explain(code)
    assert str(found.explanation).endswith(".")
    assert str(found.next_step).endswith(".")
    assert found.actions
    assert str(found.explanation) in DOCUMENT.read_text()
    assert str(found.next_step) in DOCUMENT.read_text()


def test_every_action_is_offered_somewhere():
    offered = {action for code in FailureCode for action in explain(code).actions}
    assert offered | set(explain_open("nmi", "430").actions) == set(Action)


@pytest.mark.parametrize("processor", TABLES)
def test_an_open_answer_is_never_sent_again_by_hand(processor):
    codes = [code for table in TABLES[processor] for code in table.open]
    for code in [*codes, "a code of next year", ""]:
        assert explain_open(processor, code).actions == (Action.CHECK_NOW,)


def test_duplicates_have_words_of_their_own():
    found = {
        explain_open(processor, code).explanation
        for processor, tables in TABLES.items()
        for table in tables
        for code, kind in table.open.items()
        if kind is OpenCode.DUPLICATE
    }
    assert len(found) == 1
    assert found != {explain_open("stripe", "").explanation}
