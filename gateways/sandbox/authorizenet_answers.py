"""How Authorize.net words its answers: the envelope of every call, and the reason codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .authorizenet_schema import NAMESPACE
from .http import Reply
from .markup import filled_leaf, leaf

_BOM = b"\xef\xbb\xbf"
_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><{name}'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    f' xmlns="{NAMESPACE}">'
)

# Response reason codes and what the processor says with them.
REASONS = {
    1: "This transaction has been approved.",
    2: "This transaction has been declined.",
    3: "This transaction has been declined.",
    4: "This transaction has been declined.",
    5: "A valid amount is required.",
    6: "The credit card number is invalid.",
    7: "Credit card expiration date is invalid.",
    8: "The credit card has expired.",
    9: "The ABA code is invalid.",
    10: "The account number is invalid.",
    11: "A duplicate transaction has been submitted.",
    13: "The merchant login ID is invalid or the account is inactive.",
    15: "The transaction ID is invalid.",
    16: "The transaction cannot be found.",
    17: "The merchant does not accept this type of credit card.",
    18: "ACH transactions are not accepted by this merchant.",
    19: "An error occurred during processing. Please try again in 5 minutes.",
    33: "Credit card number cannot be left blank.",
    35: "An error occurred during processing. Call Merchant Service Provider.",
    36: "The authorization was approved but settlement failed.",
    39: "The supplied currency code is not allowed for this merchant.",
    49: "The transaction amount submitted was greater than the maximum amount allowed.",
    50: "This transaction is awaiting settlement and cannot be refunded.",
    51: "The sum of all credits against this transaction is greater than the original amount.",
    54: "The referenced transaction does not meet the criteria for issuing a credit.",
    55: "The sum of credits against the referenced transaction would exceed original debit amount.",
    57: "An error occurred in processing. Please try again in 5 minutes.",
    65: "This transaction has been declined.",
    103: "A valid fingerprint, transaction key or password is required.",
    120: "An error occurred during processing. Please try again.",
    123: "This account has not been given the permission(s) required for this request.",
    128: "This transaction cannot be processed: blocked by the customer's bank.",
    170: "An error occurred during processing. Please contact the merchant.",
    175: "The processor does not allow voiding of credits.",
    180: "An error occurred during processing. Please try again.",
    250: "This transaction has been declined: the IP address is blocked.",
    251: "This transaction has been declined by the fraud filters.",
    252: "Your order has been received and is under review.",
    253: "Your order has been received and is under review.",
    254: "Your transaction has been declined after review.",
    310: "This transaction has already been voided.",
    311: "This transaction has already been captured.",
}
_DECLINES = frozenset((2, 3, 4, 65, 128, 250, 251, 254))
_REVIEWS = frozenset((252, 253))
# Reported as approved, with no transaction: what was asked for is already so.
ALREADY_SO = frozenset((310, 311))


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands in the envelope: the message, then ``content``, which is markup."""

    content: str = ""
    code: str = "I00001"
    text: str = "Successful."


# What a whole request is refused with, beside the faults that its own content has.
ERRORS = {
    "E00001": "An error occurred during processing. Please try again.",
    "E00002": "The content-type specified is not supported.",
    "E00005": "The transaction key is invalid or not present.",
    "E00006": "The API login ID is invalid or not present.",
    "E00007": "User authentication failed due to invalid authentication values.",
    "E00008": "User authentication failed. The payment gateway account or user is inactive.",
    "E00010": "User authentication failed. You do not have the appropriate permissions.",
    "E00011": "Access denied. You do not have permission to call the Transaction Details API.",
    "E00053": "The server is currently too busy, please try again later.",
    "E00104": "The server is in maintenance, so the requested method is unavailable.",
}
NO_RECORDS = Answer("", "I00004", "No records found.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction. ``account`` is the masked number, ``kind`` its brand."""

    reason: int
    trans_id: str = "0"
    account: str = ""
    kind: str = ""


def response_code_of(reason: int) -> int:
    """1 approved, 2 declined, 3 error, 4 held for review."""
    if reason == 1 or reason in ALREADY_SO:
        return 1
    if reason in _DECLINES:
        return 2
    return 4 if reason in _REVIEWS else 3


def transaction_answer(
    outcome: Outcome, ref_trans_id: str = "", user_fields: Iterable[tuple[str, str]] = ()
) -> Answer:
    """The content of a ``createTransactionResponse``."""
    code = response_code_of(outcome.reason)
    reason, text = str(outcome.reason), REASONS[outcome.reason]
    accepted = code in (1, 4)
    if accepted:
        inner = leaf("code", reason) + leaf("description", text)
        verdict = f"<messages><message>{inner}</message></messages>"
    else:
        inner = leaf("errorCode", reason) + leaf("errorText", text)
        verdict = f"<errors><error>{inner}</error></errors>"
    fields = "".join(
        f"<userField>{leaf('name', name)}{leaf('value', value)}</userField>"
        for name, value in user_fields
    )
    content = (
        f"<transactionResponse><responseCode>{code}</responseCode>"
        "<authCode/><avsResultCode>P</avsResultCode><cvvResultCode/><cavvResultCode/>"
        f"{leaf('transId', outcome.trans_id)}{leaf('refTransID', ref_trans_id)}"
        "<transHash/><testRequest>0</testRequest>"
        f"{leaf('accountNumber', outcome.account)}{leaf('accountType', outcome.kind)}{verdict}"
        f"{f'<userFields>{fields}</userFields>' if fields else ''}"
        "<transHashSha2/></transactionResponse>"
    )
    if accepted:
        return Answer(content)
    return Answer(content, "E00027", "The transaction was unsuccessful.")


def envelope(root: str, ref_id: str, answer: Answer, status: int = 200) -> Reply:
    """The whole answer as the processor sends it: a byte order mark, and 200 also for errors."""
    result = "Error" if answer.code.startswith("E") else "Ok"
    text = "".join(
        (
            _HEAD.format(name=root),
            filled_leaf("refId", ref_id),
            f"<messages><resultCode>{result}</resultCode><message>",
            leaf("code", answer.code),
            leaf("text", answer.text),
            "</message></messages>",
            answer.content,
            f"</{root}>",
        )
    )
    return Reply(status, _BOM + text.encode(), {"Content-Type": "application/xml; charset=utf-8"})


def error(code: str, text: str = "", ref_id: str = "", status: int = 200) -> Reply:
    """An ``ErrorResponse``: nothing was done. Without a text, the processor's own."""
    return envelope("ErrorResponse", ref_id, Answer("", code, text or ERRORS[code]), status)
