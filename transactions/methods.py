"""How somebody paid, in words: brands of cards, wallets, and the kinds of methods."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# As processors spell them, in lower case with underscores; others are written with capitals.
BRANDS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "Amex",
    "american_express": "Amex",
    "americanexpress": "Amex",
    "discover": "Discover",
    "diners": "Diners Club",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "ach": "ACH",
}
WALLETS = {
    "apple_pay": "Apple Pay",
    "google_pay": "Google Pay",
    "samsung_pay": "Samsung Pay",
    "link": "Link",
    "paypal": "PayPal",
    "venmo": "Venmo",
    "cashapp": "Cash App",
    "amazon_pay": "Amazon Pay",
    "alipay": "Alipay",
    "wechat_pay": "WeChat Pay",
    "revolut_pay": "Revolut Pay",
    "mobilepay": "MobilePay",
}
# The values of ``gateways.base.PaymentMethod.type``.
METHODS: dict[str, str | Promise] = {
    "card": _("Card"),
    "bank": _("Bank account"),
    "wallet": _("Wallet"),
    "other": _("Other"),
}
# What people look for: a kind, or a brand by any of its spellings.
BRANDS_OFFERED = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay")


def brand_name(brand: str) -> str:
    """A brand as it is written; empty without one."""
    return BRANDS.get(brand.lower().replace(" ", "_"), brand.replace("_", " ").title())


def wallet_name(wallet: str) -> str:
    """A wallet as it is written; empty without one."""
    return WALLETS.get(wallet, wallet.replace("_", " ").title())


def spellings(brand: str) -> list[str]:
    """The values of the column that mean the same brand."""
    return [value for value, name in BRANDS.items() if name == BRANDS[brand]]
