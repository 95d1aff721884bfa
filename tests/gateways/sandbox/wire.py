"""Speaks to the sandbox as a merchant's software would: bytes over a socket, no adapter."""

import http.client
import itertools
import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from lxml import etree

from gateways.sandbox.authorizenet_schema import NAMESPACE
from gateways.sandbox.ledger import LedgerPayment

REPOSITORY = Path(__file__).resolve().parents[3]
SPECS = Path(os.environ.get("REFUND_DESK_SPECS", REPOSITORY.parent / "shared" / "specs"))
BOM = b"\xef\xbb\xbf"

_numbers = itertools.count(90_000_001)


@cache
def authorizenet_xsd():
    """The processor's published schema, or None where the folder is not there."""
    path = SPECS / "AnetApiSchema.xsd"
    return etree.XMLSchema(etree.parse(path)) if path.exists() else None


needs_xsd = pytest.mark.skipif(
    authorizenet_xsd() is None,
    reason="AnetApiSchema.xsd is not there; REFUND_DESK_SPECS names the folder that has it",
)


def send(sandbox, path, body, *, method="POST", content_type="", headers=None):
    """One request on a connection of its own: (status, headers, body)."""
    address = urlsplit(sandbox.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        headers = {"Content-Type": content_type, **(headers or {})} if content_type else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def pay(sandbox, account, *, major="100.00", days_ago=3, **values):
    """A payment in the ledger, settled unless ``status`` says otherwise."""
    created_at = sandbox.clock.now() - timedelta(days=days_ago)
    status = values.pop("status", "settled")
    settled_at = created_at + timedelta(hours=8) if status == "settled" else None
    payment = LedgerPayment(
        id=str(next(_numbers)),
        dialect=account.dialect,
        account=account.name,
        amount_minor=int(major.replace(".", "")),
        currency=values.pop("currency", account.currency),
        status=status,
        created_at=created_at,
        settled_at=values.pop("settled_at", settled_at),
        **{"brand": "visa", "last4": "1111", "payer_name": "Ada Lovelace", **values},
    )
    return sandbox.ledger.add_payment(payment)


def pass_cutoff(sandbox):
    """Let a night go by."""
    sandbox.clock.advance(timedelta(days=1))
    sandbox.ledger.advance()


class AuthorizeNet:
    """A merchant at Authorize.net. Every answer is held against the processor's schema."""

    def __init__(self, sandbox, account):
        self.sandbox = sandbox
        self.account = account

    def post(self, body, content_type="application/xml"):
        """(status, root element without namespaces) of an answer to raw bytes."""
        path = "/authorizenet/xml/v1/request.api"
        status, _, answer = send(self.sandbox, path, body, content_type=content_type)
        assert answer.startswith(BOM)
        root = etree.fromstring(answer)
        if authorizenet_xsd() is not None:
            authorizenet_xsd().assertValid(root)
        for element in root.iter("{*}*"):
            element.tag = etree.QName(element).localname
        return status, root

    def envelope(self, name, inner="", *, ref_id="", key=None):
        """A request of this merchant as bytes."""
        login = self.account.credentials["api_login_id"]
        key = key or self.account.credentials["transaction_key"]
        ref = f"<refId>{ref_id}</refId>" if ref_id else ""
        return (
            f'<?xml version="1.0" encoding="utf-8"?><{name} xmlns="{NAMESPACE}">'
            f"<merchantAuthentication><name>{login}</name><transactionKey>{key}</transactionKey>"
            f"</merchantAuthentication>{ref}{inner}</{name}>"
        ).encode()

    def call(self, name, inner="", **envelope):
        """The root element of the answer."""
        status, root = self.post(self.envelope(name, inner, **envelope))
        assert status == 200
        return root

    def refund(self, payment, amount, *, reference="R1", window="28800", **values):
        """Ask for a refund; ``values`` replace the usual fields."""
        card = values.get("card", payment.last4)
        means = values.get(
            "means",
            f"<creditCard><cardNumber>{card}</cardNumber>"
            "<expirationDate>XXXX</expirationDate></creditCard>",
        )
        setting = (
            "<transactionSettings><setting><settingName>duplicateWindow</settingName>"
            f"<settingValue>{window}</settingValue></setting></transactionSettings>"
            if window is not None
            else ""
        )
        inner = (
            "<transactionRequest><transactionType>refundTransaction</transactionType>"
            f"<amount>{amount}</amount>{values.get('currency', '')}<payment>{means}</payment>"
            f"<refTransId>{values.get('ref_trans_id', payment.id)}</refTransId>"
            f"<order><invoiceNumber>{reference}</invoiceNumber></order>"
            f"{values.get('after_order', '')}{setting}</transactionRequest>"
        )
        return self.call("createTransactionRequest", inner, ref_id=values.get("ref_id", reference))

    def void(self, trans_id, *, ref_id="V1"):
        inner = (
            "<transactionRequest><transactionType>voidTransaction</transactionType>"
            f"<refTransId>{trans_id}</refTransId></transactionRequest>"
        )
        return self.call("createTransactionRequest", inner, ref_id=ref_id)

    def details(self, trans_id):
        return self.call("getTransactionDetailsRequest", f"<transId>{trans_id}</transId>")

    def unsettled(self, inner=""):
        return self.call("getUnsettledTransactionListRequest", inner)


def verdict(root):
    """(responseCode, reason code, transId) of a createTransactionResponse."""
    reason = root.findtext(".//errors/error/errorCode") or root.findtext(
        "transactionResponse/messages/message/code"
    )
    return (
        root.findtext("transactionResponse/responseCode"),
        reason,
        root.findtext("transactionResponse/transId"),
    )


def code_of(root):
    """(root element, message code)."""
    return root.tag, root.findtext("messages/message/code")


class Nmi:
    """A merchant at NMI."""

    def __init__(self, sandbox, account):
        self.sandbox = sandbox
        self.account = account

    def transact(self, **fields):
        """The fields of the answer, empty ones too."""
        fields = {"security_key": self.account.credentials["security_key"], **fields}
        status, headers, body = self.post("/nmi/api/transact.php", fields)
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=UTF-8"
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))

    def query(self, **fields):
        """The root element of the answer."""
        fields = {"security_key": self.account.credentials["security_key"], **fields}
        status, headers, body = self.post("/nmi/api/query.php", fields)
        assert status == 200
        assert headers["Content-Type"].startswith("text/xml")
        root = etree.fromstring(body)
        assert root.tag == "nm_response"
        return root

    def post(self, path, fields):
        return send(
            self.sandbox,
            path,
            urlencode(fields),
            content_type="application/x-www-form-urlencoded",
        )

    def refund(self, payment, amount, /, **fields):
        return self.transact(type="refund", transactionid=payment.id, amount=amount, **fields)

    def void(self, transaction_id, **fields):
        return self.transact(type="void", transactionid=transaction_id, **fields)


def ids(root):
    """The ids of the transactions of a query or list, in their order."""
    return [element.text for element in root.iter("transaction_id", "transId")]
