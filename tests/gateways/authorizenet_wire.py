"""Answers of Authorize.net as they look on the wire: a byte order mark, a namespace, status 200.

And the gateway, the orders and the requests that they answer.
"""

from dataclasses import replace
from typing import Any

from gateways.authorizenet import AuthorizeNetGateway
from gateways.base import Account, Operation, RefundOrder
from gateways.hardened_xml import Element, parse_xml
from gateways.money import Money
from gateways.sandbox.authorizenet_schema import parse_request
from gateways.transport import Transport

from .scripted import ScriptedServer

BOM = b"\xef\xbb\xbf"
NAMESPACE = "AnetApi/xml/v1/schema/AnetApiSchema.xsd"

CREDENTIALS = {"api_login_id": "login-of-hats", "transaction_key": "key-of-hats"}
REFUND = RefundOrder(
    reference="A1B2C3D4E5",
    payment_id="1001",
    amount=Money(1230, "USD"),
    payment_amount=Money(5000, "USD"),
    last4="1111",
)
VOID = replace(REFUND, amount=Money(5000, "USD"), operation=Operation.VOID)


def open_gateway(processor: ScriptedServer, **changes: Any) -> AuthorizeNetGateway:
    """A gateway of a dollar account whose processor is scripted."""
    account = Account("hats", "test", processor.url, CREDENTIALS, **{"currency": "USD", **changes})
    transport = Transport(secrets=tuple(CREDENTIALS.values()), total_seconds=10)
    return AuthorizeNetGateway(account, transport)


def sent(processor: ScriptedServer, index: int = -1) -> Element:
    """A request, after the sandbox's own check of it against the published schema."""
    body = processor.received[index].body
    parse_request(body)
    return parse_xml(body)


def answer(root: str, content: str = "", code: str = "I00001", text: str = "Successful.") -> bytes:
    result = "Error" if code.startswith("E") else "Ok"
    document = (
        f'<?xml version="1.0" encoding="utf-8"?><{root} xmlns="{NAMESPACE}"><messages>'
        f"<resultCode>{result}</resultCode><message><code>{code}</code><text>{text}</text>"
        f"</message></messages>{content}</{root}>"
    )
    return BOM + document.encode()


def error(code: str, text: str = "It says no.") -> bytes:
    return answer("ErrorResponse", code=code, text=text)


def transaction_response(
    response_code: str,
    code: str,
    *,
    trans_id: str = "0",
    original: str = "1001",
    ref_id: str = "",
    text: str = "The reason.",
) -> bytes:
    """A createTransactionResponse; codes of refusals stand in ``errors``, others in ``messages``."""
    reason = (
        f"<messages><message><code>{code}</code><description>{text}</description></message>"
        "</messages>"
        if response_code in {"1", "4"}
        else f"<errors><error><errorCode>{code}</errorCode><errorText>{text}</errorText></error>"
        "</errors>"
    )
    content = (
        f"<transactionResponse><responseCode>{response_code}</responseCode><authCode/>"
        f"<transId>{trans_id}</transId><refTransID>{original}</refTransID>"
        f"<accountNumber>XXXX1111</accountNumber>{reason}</transactionResponse>"
    )
    body = answer("createTransactionResponse", content)
    return body.replace(b"<messages>", f"<refId>{ref_id}</refId><messages>".encode(), 1)


def row(
    trans_id: str,
    status: str = "settledSuccessfully",
    *,
    amount: str = "50.00",
    invoice: str = "ORD-1",
    number: str = "XXXX1111",
    extra: str = "",
) -> str:
    """A ``transaction`` of a list."""
    return (
        f"<transaction><transId>{trans_id}</transId>"
        "<submitTimeUTC>2026-03-01T10:00:00.123Z</submitTimeUTC>"
        "<submitTimeLocal>2026-03-01T03:00:00.123</submitTimeLocal>"
        f"<transactionStatus>{status}</transactionStatus>"
        + (f"<invoiceNumber>{invoice}</invoiceNumber>" if invoice else "")
        + "<firstName>José</firstName><lastName>García</lastName><accountType>Visa</accountType>"
        f"<accountNumber>{number}</accountNumber><settleAmount>{amount}</settleAmount>"
        f"{extra}</transaction>"
    )


def listed(root: str, *rows: str) -> bytes:
    if not rows:
        return answer(root, code="I00004", text="No records found.")
    return answer(root, f"<transactions>{''.join(rows)}</transactions>")


def unsettled(*rows: str) -> bytes:
    return listed("getUnsettledTransactionListResponse", *rows)


def batch(*rows: str) -> bytes:
    return listed("getTransactionListResponse", *rows)


def batches(*found: tuple[str, str]) -> bytes:
    """Each a number and a settlement time."""
    content = "".join(
        f"<batch><batchId>{number}</batchId><settlementTimeUTC>{time}</settlementTimeUTC>"
        "<settlementState>settledSuccessfully</settlementState></batch>"
        for number, time in found
    )
    return answer("getSettledBatchListResponse", content and f"<batchList>{content}</batchList>")


CARD = (
    "<creditCard><cardNumber>XXXX1111</cardNumber><expirationDate>XXXX</expirationDate>"
    "<cardType>AmericanExpress</cardType></creditCard>"
)
BANK = (
    "<bankAccount><routingNumber>XXXX0025</routingNumber><accountNumber>XXXX6789</accountNumber>"
    "<nameOnAccount>J. García</nameOnAccount><echeckType>WEB</echeckType></bankAccount>"
)
BILL_TO = "<billTo><firstName>José</firstName><lastName>García</lastName></billTo>"


def details(
    trans_id: str,
    status: str = "settledSuccessfully",
    *,
    kind: str = "authCaptureTransaction",
    original: str = "",
    settle: str = "50.00",
    auth: str = "50.00",
    payment: str = CARD,
    order: str = "<invoiceNumber>ORD-1</invoiceNumber><description>Two hats</description>",
    batch_time: str = "2026-03-02T08:00:00Z",
    extra: str = "",
    reference: str = "",
) -> bytes:
    """A getTransactionDetailsResponse."""
    settled = f"<settlementTimeUTC>{batch_time}</settlementTimeUTC>"
    content = (
        f"<transaction><transId>{trans_id}</transId>"
        + (f"<refTransId>{original}</refTransId>" if original else "")
        + "<submitTimeUTC>2026-03-01T10:00:00Z</submitTimeUTC>"
        f"<transactionType>{kind}</transactionType>"
        f"<transactionStatus>{status}</transactionStatus>"
        "<responseCode>1</responseCode><responseReasonCode>1</responseReasonCode>"
        "<responseReasonDescription>Approval</responseReasonDescription>"
        + (f"<batch><batchId>7</batchId>{settled}</batch>" if batch_time else "")
        + f"<order>{order}</order><authAmount>{auth}</authAmount>"
        f"<settleAmount>{settle}</settleAmount><payment>{payment}</payment>"
        "<customer><email>jose@example.com</email></customer>"
        f"{extra}</transaction>" + (f"<transrefId>{reference}</transrefId>" if reference else "")
    )
    return answer("getTransactionDetailsResponse", content)


def merchant(*currencies: str, test_mode: str = "false") -> bytes:
    listed_currencies = "".join(f"<currency>{currency}</currency>" for currency in currencies)
    return answer(
        "getMerchantDetailsResponse",
        f"<isTestMode>{test_mode}</isTestMode><merchantName>Hats Ltd</merchantName>"
        f"<gatewayId>424242</gatewayId><currencies>{listed_currencies}</currencies>",
    )
