"""Answers of NMI as they look on the wire, and the gateway and orders that they answer."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from gateways.base import Account, Operation, RefundOrder
from gateways.money import Money
from gateways.nmi import NmiGateway
from gateways.transport import Transport

from .scripted import ScriptedServer

KEY = "security-key-of-hats"
REFUND = RefundOrder(
    reference="A1B2C3D4E5",
    payment_id="1001",
    amount=Money(1230, "USD"),
    payment_amount=Money(5000, "USD"),
    last4="1111",
)
VOID = replace(REFUND, amount=Money(5000, "USD"), operation=Operation.VOID)


def open_gateway(processor: ScriptedServer, **changes: Any) -> NmiGateway:
    """A gateway whose processor is scripted."""
    account = Account("hats", "test", processor.url, {"security_key": KEY}, **changes)
    return NmiGateway(account, Transport(secrets=(KEY,), total_seconds=10))


def sent(processor: ScriptedServer, index: int = -1) -> dict[str, str]:
    """The form of a request."""
    return dict(parse_qsl(processor.received[index].body.decode(), keep_blank_values=True))


def money(response: str, code: str, text: str = "SUCCESS", **fields: str) -> str:
    """The answer of transact.php. Errors carry a support reference that changes each time."""
    said = f"{text} REFID:3154273850" if response == "3" else text
    answer = {
        "response": response,
        "responsetext": said,
        "authcode": "",
        "transactionid": "",
        "avsresponse": "",
        "cvvresponse": "",
        "orderid": REFUND.reference,
        "type": "refund",
        "response_code": code,
        **fields,
    }
    return urlencode(answer)


def action(
    kind: str = "sale",
    amount: str = "50.00",
    *,
    date: str = "20260301100000",
    success: str | None = "1",
    code: str = "100",
    text: str = "SUCCESS",
    extra: str = "",
) -> str:
    shown = "" if success is None else f"<success>{success}</success>"
    return (
        f"<action><amount>{amount}</amount><action_type>{kind}</action_type><date>{date}</date>"
        f"{shown}<response_text>{text}</response_text><response_code>{code}</response_code>"
        f"{extra}</action>"
    )


def transaction(
    transaction_id: str = "1001", condition: str = "complete", *actions: str, **fields: str
) -> str:
    """A ``transaction`` of a query; without actions it is a sale. ``fields`` replace others."""
    values = {
        "transaction_id": transaction_id,
        "transaction_type": "cc",
        "condition": condition,
        "order_id": "ORD-1",
        "order_description": "Two hats",
        "first_name": "José",
        "last_name": "García",
        "email": "jose@example.com",
        "cc_number": "4xxxxxxxxxxx1111",
        "cc_type": "visa",
        "check_account": "",
        "check_name": "",
        "currency": "USD",
        "entry_mode": "keyed",
        **fields,
    }
    leaves = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return f"<transaction>{leaves}{''.join(actions or [action()])}</transaction>"


def refund(
    transaction_id: str = "2002", amount: str = "-12.30", condition: str = "complete", **fields: str
) -> str:
    """A refund as a transaction of its own."""
    date = fields.pop("date", "20260301100000")
    success = fields.pop("success", "1")
    done = action("refund", amount, date=date, success=success)
    return transaction(transaction_id, condition, done, **{"order_id": REFUND.reference, **fields})


def found(*transactions: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><nm_response>{"".join(transactions)}</nm_response>'
    )


def query_error(text: str) -> str:
    return found(f"<error_response>{text} REFID:3154273850</error_response>")
