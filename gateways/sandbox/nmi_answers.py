"""How NMI words its answers: a query string for money, XML for queries."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from .http import Reply
from .ledger import Ledger
from .markup import leaf

_BY_GATEWAY = "300"  # the catch-all: the text tells
# What processors and banks say; 2xx are declines, the others errors.
_TEXTS = {
    "200": "DECLINE",
    "201": "DO NOT HONOR",
    "202": "INSUFFICIENT FUNDS",
    "203": "OVER LIMIT",
    "204": "TRANSACTION NOT ALLOWED",
    "220": "INCORRECT PAYMENT INFORMATION",
    "221": "NO SUCH CARD ISSUER",
    "222": "NO CARD NUMBER ON FILE WITH ISSUER",
    "223": "EXPIRED CARD",
    "224": "INVALID EXPIRATION DATE",
    "240": "CALL ISSUER",
    "250": "PICK UP CARD",
    "251": "LOST CARD",
    "252": "STOLEN CARD",
    "253": "FRAUDULENT CARD",
    "260": "DECLINED",
    "264": "DECLINED, RETRY IN A FEW DAYS",
    "300": "Duplicate transaction",
    "301": "Rate limit exceeded",
    "400": "Transaction error returned by processor",
    "410": "Invalid merchant configuration",
    "411": "Merchant account is inactive",
    "420": "Communication error",
    "421": "Communication error with issuer",
    "430": "Duplicate transaction at processor",
    "440": "Processor format error",
    "441": "Invalid transaction information",
    "460": "Processor feature not available",
    "461": "Unsupported card type",
}


class Rejected(Exception):
    """A request that is not carried out. ``text`` comes without its REFID.

    ``response`` is 2 for a decline and 3 for an error; ``transaction_id`` and ``order_id`` are
    repeated in the answer where the gateway does that.
    """

    def __init__(
        self,
        text: str,
        code: str = _BY_GATEWAY,
        *,
        response: str = "3",
        transaction_id: str = "",
        order_id: str = "",
    ) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.response = response
        self.transaction_id = transaction_id
        self.order_id = order_id

    def as_fields(self) -> dict[str, str]:
        return {
            "response": self.response,
            "responsetext": self.text,
            "transactionid": self.transaction_id,
            "orderid": self.order_id,
            "response_code": self.code,
        }


def rejected_with(code: str, order_id: str = "") -> Rejected:
    """The refusal with this response code. Raises KeyError for one that the gateway has not."""
    response = "2" if code.startswith("2") else "3"
    return Rejected(_TEXTS[code], code, response=response, order_id=order_id)


def money_answer(ledger: Ledger, kind: str, answer: Mapping[str, str]) -> Reply:
    """The answer of ``transact.php``: every field, empty ones too; errors end with a REFID."""
    text = answer["responsetext"]
    if answer["response"] == "3":
        text = f"{text} {_reference(ledger)}"
    fields = {
        "response": answer["response"],
        "responsetext": text,
        "authcode": "",
        "transactionid": answer.get("transactionid", ""),
        "avsresponse": "",
        "cvvresponse": "",
        "orderid": answer.get("orderid", ""),
        "type": kind,
        "response_code": answer["response_code"],
    }
    # The gateway leaves blanks and colons as they are.
    body = "&".join(f"{name}={quote(value, safe=' :/,.')}" for name, value in fields.items())
    return Reply(200, body.encode(), {"Content-Type": "text/html; charset=UTF-8"})


def query_answer(content: str) -> Reply:
    """The answer of ``query.php`` around ``content``, which is markup."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<nm_response>{content}</nm_response>\n'
    return Reply(200, body.encode(), {"Content-Type": "text/xml; charset=UTF-8"})


def query_error(ledger: Ledger, text: str) -> Reply:
    """A refused query: also 200."""
    return query_answer(leaf("error_response", f"{text} {_reference(ledger)}"))


def _reference(ledger: Ledger) -> str:
    """What support would ask for: another number each time."""
    return f"REFID:{ledger.random.randrange(10**9, 10**10)}"
