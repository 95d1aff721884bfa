"""What a manager fills in, and the files that are read."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from campaigns import forms
from campaigns.forms import CampaignForm
from campaigns.services import Named

pytestmark = pytest.mark.django_db


def filled(**changes):
    return {
        "name": "Outage of Friday",
        "percent": "100",
        "reason": "service_issue",
        "note": "",
        "words": "",
        "most_refunds": "10",
        "most_money": "5000.00",
    } | changes


def read(content, **changes):
    upload = SimpleUploadedFile(
        "payments.csv", content if isinstance(content, bytes) else content.encode()
    )
    return CampaignForm("", filled(**changes), {"file": upload})


def test_of_a_filtered_set_no_file_is_asked_for():
    form = CampaignForm("account=shop", filled())
    assert form.is_valid(), form.errors
    campaign = form.campaign()
    assert (campaign.query, campaign.most_money, campaign.reason_id) == (
        "account=shop", 5_000_000, "service_issue",
    )  # fmt: skip


def test_without_a_query_a_file_is_needed():
    form = CampaignForm("", filled())
    assert "file" in form.errors


def test_a_file_names_payments():
    form = read("payment,amount\nch_1,12.50\n\nch_3,7\n")
    assert form.is_valid(), form.errors
    assert form.cleaned_data["file"] == [Named("ch_1", "12.50"), Named("ch_3", "7")]
    whole = read("payment\nch_1\n")
    assert whole.is_valid()
    assert whole.cleaned_data["file"] == [Named("ch_1")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("payment\n", "The file names no payment."),
        ("", "The submitted file is empty."),
        ("id\nch_1\n", "payment"),
        ("payment,amount\n ,5\n", "Line 2: It names no payment."),
        ("payment\nch_1,5\n", "Line 2"),
        ("payment\nch_1\n4242 4242 4242 4242\n", "Line 3: It names a card, and no payment."),
        ("payment,amount\nch_0,5.00\nch_1,\n", "Line 3: Its amount is empty."),
        (b"payment\n\xff\xfe\n", "UTF-8"),
        ("payment\n" + "ch_1\n" * 4, "more than 3 rows"),
    ],
)
def test_what_cannot_be_read_is_told(content, why, monkeypatch):
    monkeypatch.setattr(forms, "MOST_ITEMS", 3)
    form = read(content)
    assert not form.is_valid()
    assert why in " ".join(form.errors["file"])


def test_no_more_than_a_few_lines_are_told():
    form = read("payment,amount\n" + " ,1\n" * 50)
    assert len(form.errors["file"]) == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("percent", "0"), ("percent", "101"), ("percent", "1.5"),
        ("most_refunds", "0"), ("most_refunds", "50001"),
        ("most_money", "-1"), ("most_money", "1,000"), ("most_money", "1e9"), ("most_money", ""),
        ("reason", "no such"), ("name", ""), ("name", "\u202e"), ("name", "4242 4242 4242 4242"),
        ("note", "4242424242424242"), ("words", "4242424242424242"), ("words", "x" * 2001),
    ],
)  # fmt: skip
def test_what_is_refused(name, text):
    form = CampaignForm("account=shop", filled(**{name: text}))
    assert not form.is_valid()
    assert form.errors[name]


def test_a_search_for_a_card_number_makes_no_campaign():
    form = CampaignForm("q=4242+4242+4242+4242", filled())
    assert not form.is_valid()
    assert "card number" in str(form.non_field_errors())


@pytest.mark.parametrize("line", ["4242424242424242,1", "ch_1,4242424242424242"])
def test_a_line_with_a_card_number_is_named(line):
    form = read(f"payment,amount\nch_0,1\n{line}\n")
    assert form.errors["file"] == ["Line 3: It names a card, and no payment."]
