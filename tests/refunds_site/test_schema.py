import re

import pytest
import yaml
from django.contrib.staticfiles import finders
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema():
    return yaml.safe_load(APIClient().get("/api/v1/schema/").content)


def test_the_schema_is_openapi_3_1(schema):
    assert schema["openapi"].startswith("3.1")


def test_the_schema_is_complete_and_without_warnings(capfd):
    APIClient().get("/api/v1/schema/")
    told = capfd.readouterr()
    assert "arning" not in told.out + told.err


def test_amounts_are_strings_and_problems_are_described(schema):
    components = schema["components"]["schemas"]
    assert components["Transaction"]["properties"]["amount"]["type"] == "string"
    assert components["NewRefund"]["required"] == ["amount", "reason"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_a_refund_needs_an_idempotency_key(schema):
    operation = schema["paths"]["/api/v1/transactions/{id}/refunds/"]["post"]
    [key] = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
    assert key["in"] == "header"
    assert key["required"]
    assert set(operation["responses"]) == {"202", "200", "default"}


@pytest.mark.parametrize("query", ["?lang=%00", "?lang=../x", "?lang=xx", "?version=%00"])
def test_odd_questions_for_the_schema_do_no_harm(query):
    assert APIClient().get(f"/api/v1/schema/{query}").status_code == 200
    assert APIClient().get(f"/api/v1/docs/{query}").status_code == 200


def test_the_browsable_form_comes_from_this_server_alone():
    page = APIClient().get("/api/v1/docs/").content.decode()
    page += APIClient().get("/api/v1/docs/?script=").content.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)["']|url: "([^"]+)\"""", page)
    assert addresses
    for address in {first or second for first, second in addresses}:
        assert address.startswith("/"), address
        assert not address.startswith("//"), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/"))
    assert '"validatorUrl": null' in page
