from gateways.base import PaymentStatus
from gateways.money import Money
from gateways.paypal import PayPalGateway

from .contract import KeyedGatewayContract


class TestContract(KeyedGatewayContract):
    gateway_class = PayPalGateway
    account = "paypal-main"
    owner = "5AF4D08DBC7B5"
    unknown_payment_id = "0UNKNOWN000000000"
    wrong_credentials = {"client_secret": "another-secret"}
    unreadable = {"order_reference": 5}
    exact_amounts = (("paypal-main", Money(1999, "USD")), ("paypal-main", Money(1500, "JPY")))
    voidable_status = ""
    test_cannot_void_what_has_settled = None  # it has no voids at all
    statuses = {
        "captured": PaymentStatus.CAPTURED,
        "settled": PaymentStatus.SETTLED,
        "failed": PaymentStatus.FAILED,
    }
    turned_away = {"401": "credentials", "403": "credentials", "429": ""}
    tries_after_401 = 2
