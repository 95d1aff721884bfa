"""What the sandbox says about itself: the page at `/_sandbox/`, and the ledger as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from gateways.money import Money

from .faults import KINDS
from .ledger import Ledger, LedgerPayment, LedgerRefund
from .records import as_json
from .signatures import FORGERIES

if TYPE_CHECKING:
    from .server import SandboxServer

Json = dict[str, Any]

CONTROLS = {
    "GET /_sandbox/ledger": "payments, refunds, voids, requests; ?account= ?dialect= ?payment_id=",
    "POST /_sandbox/payments": (
        '{"account", "amount": "12.50", "currency", "status"…} makes a payment; '
        '{"payment_id", "dispute": "open"} changes one'
    ),
    "POST /_sandbox/refunds": (
        '{"payment_id", "amount"?, "operation"?} as if by hand; {"refund_id", "status"} changes one'
    ),
    "POST /_sandbox/faults": (
        '{"dialect", "call", "when", "what", "times", "match"} arms a fault; GET lists them, '
        "DELETE disarms them"
    ),
    "POST /_sandbox/webhooks": (
        '{"subscribe": url, "account"}, or {"url"?, "event_id" or "refund_id" or "payment_id", '
        '"repeat", "delay_seconds", "reorder", "forge"}; GET shows what was delivered'
    ),
    "POST /_sandbox/clock": '{"advance_seconds"} or {"now"}: settlement, key expiry, time limits',
    "POST /_sandbox/accounts": '{"account", "balance": {"USD": 0}…}: settings and credentials',
    "POST /_sandbox/reset": '{"seed", "payments"} begins anew',
}


def overview(sandbox: SandboxServer, base_url: str) -> Json:
    """Accounts with their credentials, addresses, magic amounts, faults and controls."""
    with sandbox.ledger.lock:
        accounts = [
            {**as_json(account), "base_url": f"{base_url}/{account.dialect}"}
            for account in sandbox.ledger.accounts.values()
        ]
    return {
        "now": sandbox.ledger.clock.now().isoformat(),
        "accounts": accounts,
        "dialects": {
            dialect.name: {
                "base_url": base_url + dialect.prefix,
                "magic": [{"do": magic.do, "happens": magic.happens} for magic in dialect.magic],
            }
            for dialect in sandbox.dialects
        },
        "faults": KINDS,
        "forgeries": FORGERIES,
        "controls": CONTROLS,
    }


def ledger_as_json(ledger: Ledger, wanted: Mapping[str, str]) -> Json:
    """Everything, or what belongs to an ``account``, a ``dialect`` or a ``payment_id``."""
    with ledger.lock:
        payments = [row for row in ledger.payments.values() if _fits(row, row.id, wanted)]
        refunds = [row for row in ledger.refunds.values() if _fits(row, row.payment_id, wanted)]
        return {
            "now": ledger.clock.now().isoformat(),
            "payments": [_payment(ledger, row) for row in payments],
            "refunds": [_refund(row) for row in refunds if row.operation == "refund"],
            "voids": [_refund(row) for row in refunds if row.operation == "void"],
            "requests": [
                as_json(row)
                for row in list(ledger.requests)  # servers append without the lock
                if wanted.get("dialect", row.dialect) == row.dialect
            ],
        }


def _fits(row: LedgerPayment | LedgerRefund, payment_id: str, wanted: Mapping[str, str]) -> bool:
    return (
        wanted.get("account", row.account) == row.account
        and wanted.get("dialect", row.dialect) == row.dialect
        and wanted.get("payment_id", payment_id) == payment_id
    )


def _payment(ledger: Ledger, row: LedgerPayment) -> Json:
    return {
        **as_json(row),
        "amount": Money(row.amount_minor, row.currency).major(),
        "refunded_minor": ledger.refunded_minor(row),
        "refundable_minor": ledger.refundable_minor(row),
    }


def _refund(row: LedgerRefund) -> Json:
    return {**as_json(row), "amount": Money(row.amount_minor, row.currency).major()}


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;
color-scheme:light dark}
table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #8886}
code{font-size:.9em;overflow-wrap:anywhere}
"""


def as_page(known: Json) -> bytes:
    """The overview for people: plain HTML that needs nothing from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Provider sandbox</title>",
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>',
        "<h1>Provider sandbox</h1><p>Four payment processors that move no money.",
        f" The clock here says {escape(known['now'][:19])} UTC.</p><h2>Accounts</h2>",
        _table(
            ("Account", "Address", "Credentials", "Currencies"),
            [
                (
                    _code(account["name"]),
                    _code(account["base_url"]),
                    "<br>".join(
                        f"{escape(name)} {_code(value)}"
                        for name, value in account["credentials"].items()
                    ),
                    escape(" ".join(account["currencies"])),
                )
                for account in known["accounts"]
            ],
        ),
        "<h2>How to make a processor refuse</h2>",
        _table(
            ("Processor", "Do this", "This happens"),
            [
                (escape(name), escape(magic["do"]), escape(magic["happens"]))
                for name, dialect in known["dialects"].items()
                for magic in dialect["magic"]
            ],
        ),
        "<h2>Controls</h2>",
        _table(("Call", "Meaning"), [(_code(a), escape(b)) for a, b in known["controls"].items()]),
        "<h2>Faults</h2><p><code>when</code> is before (nothing is processed) or after.</p>",
        _table(("What", "Meaning"), [(_code(a), escape(b)) for a, b in known["faults"].items()]),
        "<h2>Forged webhooks</h2>",
        _table(("Forge", "It is"), [(_code(a), escape(b)) for a, b in known["forgeries"].items()]),
        "</html>\n",
    ]
    return "".join(parts).encode()


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope=col>{escape(text)}" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table><thead><tr>{head}<tbody>{body}</table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
