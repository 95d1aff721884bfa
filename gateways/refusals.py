"""What each processor's codes prove: one table per processor, and nothing that is not listed.

A code is refused (certainly no money moved), turned away (not even looked at), or open: money may
have moved, and a look-up decides. A code that stands nowhere is open, too, and is shown to staff as
it came. Sources: the processors' published lists of codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .base import FailureCode

C = FailureCode


class OpenCode(StrEnum):
    """Why an answer leaves open whether money moved."""

    DUPLICATE = "duplicate"  # the processor knows an equal request
    IN_PROGRESS = "in_progress"  # an earlier request is still being worked on
    FAULT = "fault"  # something broke at the processor or behind it


@dataclass(frozen=True, slots=True)
class Codes:
    """The listed codes of one processor; ``turned_away`` gives the reason of NotSent."""

    refused: Mapping[str, FailureCode]
    turned_away: Mapping[str, str]
    open: Mapping[str, OpenCode]


def _by_code(table: Mapping[FailureCode, str]) -> dict[str, FailureCode]:
    return {code: ours for ours, codes in table.items() for code in codes.split()}


def _open(duplicate: str, in_progress: str, fault: str) -> dict[str, OpenCode]:
    kinds = zip(OpenCode, (duplicate, in_progress, fault), strict=True)
    return {code: kind for kind, codes in kinds for code in codes.split()}


STRIPE = Codes(  # an error's code, else its type, else the HTTP status
    refused=_by_code(
        {
            C.ALREADY_REFUNDED: "charge_already_refunded",
            C.INVALID_AMOUNT: "amount_too_large amount_too_small invalid_charge_amount "
            "parameter_invalid_integer",
            C.DISPUTED: "charge_disputed refund_disputed_payment",
            C.NOT_REFUNDABLE: "charge_not_refundable charge_expired_for_capture",
            C.NOT_VOIDABLE: "charge_already_captured",
            C.NOT_SETTLED: "payment_intent_unexpected_state intent_invalid_state",
            C.INSUFFICIENT_BALANCE: "balance_insufficient",
            C.BAD_REQUEST: "parameter_missing parameter_unknown parameter_invalid_empty "
            "parameters_exclusive charge_invalid_parameter",
            C.ACCOUNT_PROBLEM: "livemode_mismatch testmode_charges_only",
            C.PAYMENT_NOT_FOUND: "resource_missing",
            C.DECLINED_BY_BANK: "card_error",
        }
    ),
    turned_away={"401": "credentials", "403": "credentials", "429": "rate_limited"},
    open=_open(
        "idempotency_error",
        "idempotency_key_in_use 409",
        "api_error 424 500 502 503 504",
    ),
)
# Why Stripe gave up a refund that it had accepted.
STRIPE_GAVE_UP = _by_code(
    {
        C.CARD_NOT_VALID: "lost_or_stolen_card expired_or_canceled_card",
        C.DISPUTED: "charge_for_pending_refund_disputed",
        C.INSUFFICIENT_BALANCE: "insufficient_funds",
        C.DECLINED_BY_BANK: "declined",
        C.OTHER: "merchant_request unknown",
    }
)

PAYPAL = Codes(  # the first issue of an error, else its name, else the HTTP status
    refused=_by_code(
        {
            C.ALREADY_REFUNDED: "CAPTURE_FULLY_REFUNDED CAPTURED_AMOUNT_FULLY_REFUNDED",
            C.EXCEEDS_REFUNDABLE: "REFUND_AMOUNT_EXCEEDED",
            C.TOO_OLD: "REFUND_TIME_LIMIT_EXCEEDED REFUND_TIME_EXCEEDED_FOR_PAYMENT_SOURCE",
            C.INSUFFICIENT_BALANCE: "REFUND_FAILED_INSUFFICIENT_FUNDS",
            C.DISPUTED: "TRANSACTION_DISPUTED CAPTURE_DISPUTED_PARTIAL_REFUND_NOT_ALLOWED "
            "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
            C.LIMIT_REACHED: "MAX_NUMBER_OF_REFUNDS_EXCEEDED MAX_REFUND_LIMIT_EXCEEDED "
            "MAX_PAYER_AMOUNT_LIMIT_EXCEEDED",
            C.NOT_SETTLED: "PENDING_CAPTURE",
            C.NOT_REFUNDABLE: "REFUND_NOT_ALLOWED REFUND_NOT_SUPPORTED_FOR_PAYMENT_SOURCE "
            "CARD_BRAND_NOT_SUPPORTED PARTIAL_REFUND_NOT_ALLOWED",
            C.DECLINED_BY_BANK: "REFUND_FAILED_BY_PAYMENT_SOURCE",
            C.CURRENCY_NOT_ACCEPTED: "REFUND_CAPTURE_CURRENCY_MISMATCH CURRENCY_MISMATCH "
            "INVALID_CURRENCY_CODE",
            C.INVALID_AMOUNT: "DECIMAL_PRECISION DECIMALS_NOT_SUPPORTED "
            "CANNOT_BE_ZERO_OR_NEGATIVE CANNOT_BE_NEGATIVE REFUND_AMOUNT_TOO_LOW",
            C.CARD_NOT_VALID: "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
            C.ACCOUNT_PROBLEM: "PAYEE_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_RESTRICTED "
            "REFUND_IS_RESTRICTED PLATFORM_FEE_EXCEEDED PLATFORM_FEE_NOT_ENABLED",
            C.BAD_REQUEST: "MISSING_REQUIRED_PARAMETER INVALID_PARAMETER_SYNTAX "
            "INVALID_PARAMETER_VALUE INVALID_STRING_LENGTH INVALID_STRING_MAX_LENGTH "
            "UNSUPPORTED_MEDIA_TYPE",
            C.PAYMENT_NOT_FOUND: "RESOURCE_NOT_FOUND INVALID_RESOURCE_ID",
        }
    ),
    turned_away={"401": "credentials", "403": "credentials"},
    open=_open(
        "DUPLICATE_INVOICE_ID DUPLICATE_REFUND",
        "PREVIOUS_REQUEST_IN_PROGRESS RESOURCE_CONFLICT",
        "INTERNAL_SERVER_ERROR SERVICE_UNAVAILABLE INTERNAL_SERVICE_ERROR RATE_LIMIT_REACHED",
    ),
)

AUTHORIZENET = Codes(  # a transaction's reason code (54), or a whole request's (E00007)
    refused=_by_code(
        {
            C.DECLINED_BY_BANK: "2 3 4 128 200 201 202 203 204 205 206 207 208 209 210 315 316 317",
            C.INVALID_AMOUNT: "5",
            C.CARD_NOT_VALID: "6 7 8 9 10 37",
            C.PAYMENT_NOT_FOUND: "15 16 319 E00040",
            C.ACCOUNT_PROBLEM: "17 18 33 35 43 56 87 123 170 171 172 173 174 "
            "243 244 245 246 247 248 E00009 E00155",
            C.BLOCKED_BY_RULES: "27 44 45 65 66 127 141 145 165 250 251 254",
            C.CURRENCY_NOT_ACCEPTED: "39",
            C.LIMIT_REACHED: "47 49",
            C.NOT_SETTLED: "50",
            C.EXCEEDS_REFUNDABLE: "51 55",
            C.NOT_REFUNDABLE: "53 54 310",
            C.NOT_VOIDABLE: "175 311",
            C.BAD_REQUEST: "E00002 E00003 E00004 E00013 E00014 E00015",
            C.OTHER: "E00039",
        }
    ),
    turned_away={
        **dict.fromkeys("13 103 E00005 E00006 E00007 E00008 E00010 E00011".split(), "credentials"),
        "E00053": "rate_limited",
        "E00104": "unreachable",
    },
    open=_open(
        "11 318",
        "",
        "19 20 21 22 23 25 26 36 57 58 59 60 61 62 63 120 121 122 152 180 181 261 E00001 E00027",
    ),
)

NMI = Codes(  # a response code; 300 is a catch-all, whose text tells (below)
    refused=_by_code(
        {
            C.DECLINED_BY_BANK: "200 201 240 260 261 262 263 264",
            C.INSUFFICIENT_BALANCE: "202",
            C.LIMIT_REACHED: "203",
            C.CARD_NOT_VALID: "220 221 222 223 224 225 226 250 251 252 253",
            C.ACCOUNT_PROBLEM: "204 410 411 460 461",
            C.NOT_REFUNDABLE: "441",
        }
    ),
    turned_away={"301": "rate_limited"},
    open=_open("430", "", "400 420 421 440"),
)
# How the text of NMI's code 300 begins, in lower case.
NMI_REJECTIONS = Codes(
    refused={
        "refund amount may not exceed the transaction balance": C.EXCEEDS_REFUNDABLE,
        "only transactions pending settlement can be voided": C.NOT_VOIDABLE,
        "only settled transactions can be refunded": C.NOT_SETTLED,
        "invalid transaction id": C.PAYMENT_NOT_FOUND,
        "transaction not found": C.PAYMENT_NOT_FOUND,
        "invalid amount": C.INVALID_AMOUNT,
        "a capture requires that": C.BAD_REQUEST,
        "the specified amount of": C.BAD_REQUEST,
        "disabling duplicate check is not allowed": C.BAD_REQUEST,
        "the cc payment type": C.CURRENCY_NOT_ACCEPTED,
        "billing information missing": C.ACCOUNT_PROBLEM,
    },
    turned_away={
        "authentication failed": "credentials",
        "invalid security key": "credentials",
        "invalid user": "credentials",
        "specified api key not found": "credentials",
    },
    open={"duplicate transaction": OpenCode.DUPLICATE},
)
