from gateways.money import Money
from gateways.stripe import StripeGateway

from .contract import KeyedGatewayContract


class TestContract(KeyedGatewayContract):
    gateway_class = StripeGateway
    account = "stripe-main"
    unknown_payment_id = "ch_unknown"
    wrong_credentials = {"api_key": "sk_test_wrong"}
    unreadable = {"order_reference": 5}
    exact_amounts = (
        ("stripe-main", Money(1999, "USD")),
        ("stripe-main", Money(12340, "KWD")),
        ("stripe-japan", Money(1500, "JPY")),
    )
    voidable_status = "authorized"
