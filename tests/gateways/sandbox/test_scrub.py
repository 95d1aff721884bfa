"""Secrets do not reach the log."""

import pytest

from gateways.sandbox.scrub import scrubbed


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("type=refund&security_key=abc&amount=1.00", "type=refund&security_key=***&amount=1.00"),
        ("<transactionKey>abc</transactionKey>", "<transactionKey>***</transactionKey>"),
        ("<a:transactionKey>abc</a:transactionKey>", "<a:transactionKey>***</a:transactionKey>"),
        ('{"transactionKey": "abc", "a": 1}', '{"transactionKey": "***", "a": 1}'),
        ("ccnumber=4111111111111111&cvv=999", "ccnumber=***&cvv=***"),
        ("charge=ch_1&amount=5", "charge=ch_1&amount=5"),
    ],
)
def test_values_of_secret_fields_are_replaced(text, clean):
    assert scrubbed(text) == clean
