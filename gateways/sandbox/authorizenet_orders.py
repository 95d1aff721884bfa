"""Reads ``createTransactionRequest``: what is asked for, as plain values."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from .authorizenet_schema import Element, Refused, elements_at, text_at

_TYPES = frozenset(
    (
        "authOnlyTransaction",
        "authCaptureTransaction",
        "captureOnlyTransaction",
        "refundTransaction",
        "priorAuthCaptureTransaction",
        "voidTransaction",
        "getDetailsTransaction",
        "authOnlyContinueTransaction",
        "authCaptureContinueTransaction",
    )
)
_SETTINGS = frozenset(
    (
        "emailCustomer",
        "merchantEmail",
        "allowPartialAuth",
        "headerEmailReceipt",
        "footerEmailReceipt",
        "recurringBilling",
        "duplicateWindow",
        "testRequest",
    )
)
_LONGEST_WINDOW = 28_800  # seconds
# Beside the login, the amount and the window: what makes one request a duplicate of another.
_COMPARED = (
    "transactionType",
    "payment/creditCard/cardNumber",
    "payment/creditCard/expirationDate",
    "payment/bankAccount/routingNumber",
    "payment/bankAccount/accountNumber",
    "order/invoiceNumber",
    "poNumber",
    "customer/id",
    "billTo/firstName",
    "billTo/lastName",
    "billTo/company",
    "billTo/address",
    "billTo/city",
    "billTo/state",
    "billTo/zip",
    "billTo/country",
)


@dataclass(frozen=True, slots=True)
class Order:
    """One transaction that was asked for; absent texts are empty.

    ``method`` is ``creditCard``, ``bankAccount``, ``profile``, another payment element's name, or
    empty. ``number`` is the card's or bank account's, ``check`` the expiry date or routing
    number. ``window`` is the duplicate window in seconds, None where the request names none.
    ``compared`` are the values that the duplicate check looks at.
    """

    kind: str
    ref_id: str
    ref_trans_id: str
    amount: str
    currency: str
    method: str
    number: str
    check: str
    invoice_number: str
    window: int | None
    compared: tuple[str, ...]
    user_fields: tuple[tuple[str, str], ...]

    def fingerprint(self, login: str, amount_minor: int) -> str:
        """Equal exactly for requests that the duplicate window takes for the same."""
        identity = json.dumps([login, amount_minor, self.window, self.compared])
        return hashlib.sha256(identity.encode()).hexdigest()


def read_order(root: Element) -> Order:
    """What a valid ``createTransactionRequest`` asks for. Raises Refused (E00013)."""
    sent = elements_at(root, "transactionRequest")[0]
    kind = text_at(sent, "transactionType")
    if kind not in _TYPES:
        raise Refused("E00013", "Transaction Type is invalid.")
    method, number, check = _payment(sent)
    return Order(
        kind=kind,
        ref_id=text_at(root, "refId"),
        ref_trans_id=text_at(sent, "refTransId"),
        amount=text_at(sent, "amount").strip(),
        currency=text_at(sent, "currencyCode"),
        method=method,
        number=number,
        check=check,
        invoice_number=text_at(sent, "order/invoiceNumber"),
        window=_duplicate_window(sent),
        compared=tuple(text_at(sent, path) for path in _COMPARED),
        user_fields=tuple(
            (text_at(field, "name"), text_at(field, "value"))
            for field in elements_at(sent, "userFields/userField")
        ),
    )


def _payment(sent: Element) -> tuple[str, str, str]:
    if elements_at(sent, "profile"):
        return "profile", "", ""
    if elements_at(sent, "payment/creditCard"):
        card = "payment/creditCard/"
        return (
            "creditCard",
            text_at(sent, f"{card}cardNumber"),
            text_at(sent, f"{card}expirationDate"),
        )
    if elements_at(sent, "payment/bankAccount"):
        bank = "payment/bankAccount/"
        return (
            "bankAccount",
            text_at(sent, f"{bank}accountNumber"),
            text_at(sent, f"{bank}routingNumber"),
        )
    return ("other" if elements_at(sent, "payment") else ""), "", ""


def _duplicate_window(sent: Element) -> int | None:
    window = None
    for setting in elements_at(sent, "transactionSettings/setting"):
        name, value = text_at(setting, "settingName"), text_at(setting, "settingValue")
        if name not in _SETTINGS:
            raise Refused("E00013", f"Setting Name '{name}' is invalid.")
        if name == "duplicateWindow":
            if not re.fullmatch("[0-9]{1,5}", value) or int(value) > _LONGEST_WINDOW:
                raise Refused("E00013", "Duplicate Window is invalid.")
            window = int(value)
    return window
