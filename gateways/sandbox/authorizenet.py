"""Authorize.net's XML API: one address, the root element names the call.

Refunds and voids are in :mod:`.authorizenet_transactions`, lists and details in
:mod:`.authorizenet_reporting`, what a request may look like in :mod:`.authorizenet_schema`.
JSON, which the processor takes at the same address, is refused with E00002.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree

from . import authorizenet_reporting as reporting
from . import authorizenet_transactions as transactions
from .authorizenet_answers import (
    ERRORS,
    REASONS,
    Answer,
    Outcome,
    envelope,
    error,
    transaction_answer,
)
from .authorizenet_schema import Element, Refused, parse_request, text_at
from .http import Dialect, Reply, Request
from .ledger import Ledger, SandboxAccount
from .markup import leaf

_PATH = "/xml/v1/request.api"
_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z]+)Request[\s>/]")
_KIND = re.compile(rb"transactionType>\s*(refund|void)Transaction\s*<")
_CALLS = {
    b"authenticateTest": "check_credentials",
    b"getMerchantDetails": "check_credentials",
    b"getSettledBatchList": "list_batches",
    b"getTransactionList": "list_payments",
    b"getUnsettledTransactionList": "list_unsettled",
    b"getTransactionDetails": "get_payment",
}
_CARDS = ("Visa", "MasterCard", "AmericanExpress", "Discover", "ApplePay", "GooglePay", "Echeck")

Handler = Callable[[Ledger, SandboxAccount, Element], Answer]


class AuthorizeNetDialect(Dialect):
    """Authorize.net. A refund is a transaction of its own; a void changes the original."""

    name = "authorizenet"
    prefix = "/authorizenet"
    magic = transactions.MAGIC
    echo = re.compile(rb"<(?:refTransID|settleAmount)>[0-9.]*([0-9])<")

    def call_name(self, request: Request) -> str:
        root = _ROOT.search(request.body)
        if root and root[1] == b"createTransaction":
            kind = _KIND.search(request.body)
            return kind[1].decode() if kind else "other"
        return _CALLS.get(root[1], "other") if root else "other"

    def handle(self, request: Request) -> Reply:
        ref_id = ""
        try:
            _check_http(request)
            root = parse_request(request.body)
            ref_id = text_at(root, "refId")
            call = etree.QName(root).localname
            with self.ledger.lock:
                account = self._authenticate(root)
                answer = _HANDLERS[call](self.ledger, account, root)
        except Refused as refused:
            status = 404 if refused.code == "E00001" else 200
            return error(refused.code, refused.text, ref_id, status)
        return envelope(call.removesuffix("Request") + "Response", ref_id, answer)

    def refusal(self, status: int) -> Reply:
        """Errors of the doorkeeper keep their HTTP status and speak as the processor would."""
        codes = {401: "E00007", 403: "E00011", 429: "E00053"}
        return error(codes.get(status, "E00001"), status=status)

    def refusal_with(self, code: str) -> Reply | None:
        """A reason code (54) of a transaction, or the code (E00007) of a whole request."""
        if code in ERRORS:
            return error(code)
        if code.isascii() and code.isdigit() and int(code) in REASONS:
            answer = transaction_answer(Outcome(int(code)))
            return envelope("createTransactionResponse", "", answer)
        return None

    def _authenticate(self, root: Element) -> SandboxAccount:
        login = text_at(root, "merchantAuthentication/name")
        key = text_at(root, "merchantAuthentication/transactionKey")
        if not key:
            raise Refused("E00005", ERRORS["E00005"])
        if not login:
            raise Refused("E00006", ERRORS["E00006"])
        account = self.ledger.account_with(self.name, api_login_id=login, transaction_key=key)
        if account is None:
            raise Refused("E00007", ERRORS["E00007"])
        return account


def _check_http(request: Request) -> None:
    if request.path != _PATH:
        raise Refused("E00001", "There is nothing at this address.")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "POST" or media_type not in ("application/xml", "text/xml"):
        raise Refused("E00002", ERRORS["E00002"])


def _authenticate_test(*_: object) -> Answer:
    """The credentials were good, or this would not be reached."""
    return Answer()


def _describe_merchant(_: Ledger, account: SandboxAccount, __: Element) -> Answer:
    """Who the account belongs to: its name, its only currency, what it takes."""
    cards = "".join(leaf("cardType", card) for card in _CARDS[:4])
    methods = "".join(leaf("paymentMethod", method) for method in _CARDS)
    return Answer(
        leaf("isTestMode", str(account.settings.test_mode).lower())
        + "<processors><processor><name>Sandbox</name><id>2</id>"
        + f"<cardTypes>{cards}</cardTypes></processor></processors>"
        + leaf("merchantName", account.name)
        + "<gatewayId>100001</gatewayId>"
        + "<marketTypes><marketType>eCommerce</marketType></marketTypes>"
        + "<productCodes><productCode>CNP</productCode></productCodes>"
        + f"<paymentMethods>{methods}</paymentMethods>"
        + f"<currencies>{leaf('currency', account.currency)}</currencies>"
        + leaf("merchantTimeZone", reporting.TIME_ZONE)
    )


_HANDLERS: dict[str, Handler] = {
    "authenticateTestRequest": _authenticate_test,
    "getMerchantDetailsRequest": _describe_merchant,
    "createTransactionRequest": transactions.create_transaction,
    "getSettledBatchListRequest": reporting.list_batches,
    "getTransactionListRequest": reporting.list_batch,
    "getUnsettledTransactionListRequest": reporting.list_unsettled,
    "getTransactionDetailsRequest": reporting.describe,
}
