"""NMI's classic API: ``transact.php`` moves money, ``query.php`` tells what there is.

Both take form fields in the body of a POST, and the key only there. Both answer 200 also for
errors: the one with a query string, the other with XML. Refunds and voids are in
:mod:`.nmi_transactions`, the query in :mod:`.nmi_query`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from . import nmi_query, nmi_transactions
from .http import Dialect, Reply, Request
from .ledger import SandboxAccount
from .nmi_answers import Rejected, money_answer, query_error, rejected_with

_TRANSACT, _QUERY = "/api/transact.php", "/api/query.php"
_CREDENTIAL_REPORTS = ("profile", "test_mode_status")


class NmiDialect(Dialect):
    """NMI. A refund is a transaction of its own or an action on the original, as set."""

    name = "nmi"
    prefix = "/nmi"
    magic = nmi_transactions.MAGIC
    echo = re.compile(rb"(?:orderid=|<amount>-?)([^&<]+)")

    def call_name(self, request: Request) -> str:
        fields = dict(request.form())
        if request.path == _TRANSACT:
            kind = fields.get("type", "")
            return kind if kind in ("refund", "void") else "other"
        if request.path != _QUERY:
            return "other"
        if fields.get("report_type") in _CREDENTIAL_REPORTS:
            return "check_credentials"
        if fields.get("action_type") == "refund":
            return "get_refund" if fields.get("order_id") else "list_refunds"
        return "get_payment" if fields.get("transaction_id") else "list_payments"

    def handle(self, request: Request) -> Reply:
        if request.path == _TRANSACT:
            return self._transact(_fields(request))
        if request.path == _QUERY:
            return self._query(_fields(request))
        return Reply(404, b"File not found.\n", {"Content-Type": "text/html; charset=UTF-8"})

    def refusal(self, status: int) -> Reply:
        """What stands in front of the gateway answers in plain HTTP."""
        page = f"<html><body><h1>{status} {HTTPStatus(status).phrase}</h1></body></html>\n"
        return Reply(status, page.encode(), {"Content-Type": "text/html; charset=UTF-8"})

    def refusal_with(self, code: str) -> Reply | None:
        """A response code (430) of ``transact.php``."""
        try:
            rejected = rejected_with(code)
        except KeyError:
            return None
        return money_answer(self.ledger, "refund", rejected.as_fields())

    def _transact(self, fields: Mapping[str, str]) -> Reply:
        with self.ledger.lock:
            try:
                account = self._account(fields, otherwise="Authentication Failed")
                answer = nmi_transactions.carry_out(self.ledger, account, fields)
            except Rejected as rejected:
                answer = rejected.as_fields()
            return money_answer(self.ledger, fields.get("type", ""), answer)

    def _query(self, fields: Mapping[str, str]) -> Reply:
        with self.ledger.lock:
            try:
                account = self._account(fields, otherwise="Invalid Security Key")
                return nmi_query.answer(self.ledger, account, fields)
            except Rejected as rejected:
                return query_error(self.ledger, rejected.text)

    def _account(self, fields: Mapping[str, str], *, otherwise: str) -> SandboxAccount:
        key = fields.get("security_key")
        account = self.ledger.account_with(self.name, security_key=key) if key else None
        if account is None:
            raise Rejected(otherwise)
        return account


def _fields(request: Request) -> dict[str, str]:
    """The form of a POST; of a repeated field the last counts. Nothing else is looked at."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "POST" or media_type != "application/x-www-form-urlencoded":
        return {}
    return dict(request.form())
