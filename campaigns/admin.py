"""Campaigns on the staff site: made, looked through, started by a second person, and followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from access import step_up
from access.returning import follow
from access.rights import may_somewhere
from audit.kinds import Kind
from audit.log import record
from refunds.refusals import code_of, record_refusal
from refunds.services import NotAllowed, WrongStatus
from transactions.badges import Badge
from transactions.changelist import KeysetChangeList, ListFilter
from transactions.models import SavedView, Transaction
from transactions.readonly import ReadOnlyAdmin, pressed, signed_in
from transactions.retelling import retell
from transactions.table import TransactionTable

from . import services
from .forms import CampaignForm
from .models import STARTED, Campaign, CampaignState, ItemState
from .preparing import read_query, why_not_read
from .progress import progress_of
from .results import result_lines

PAGE = "admin:campaigns_campaign_change"
_L = gettext_lazy
# Milliseconds.
_POLL_AFTER = 2000
_TONES = {
    CampaignState.PREPARING: "busy",
    CampaignState.READY: "warn",
    CampaignState.RUNNING: "busy",
    CampaignState.PAUSED: "warn",
    CampaignState.FINISHED: "good",
    CampaignState.CANCELED: "quiet",
}


@dataclass(frozen=True, slots=True)
class Press:
    """A button: the service behind it, and what is said when it was done.

    A ``proven`` one is for who has proven lately who they are.
    """

    name: str
    label: str | Promise
    done: str | Promise
    service: Callable[..., Campaign]
    states: tuple[CampaignState, ...]
    may: Callable[[Campaign, User], bool]
    proven: bool = False


PRESSES = {
    press.name: press
    for press in (
        Press(
            "start", _L("Start"), _L("Started: the refunds go out."), services.start,
            (CampaignState.READY,), services.may_start, proven=True,
        ),
        Press(
            "pause", _L("Pause"), _L("Paused: what has not been sent waits."), services.pause,
            (CampaignState.RUNNING,), services.may_steer,
        ),
        Press(
            "go_on", _L("Go on"), _L("It goes on."), services.go_on,
            (CampaignState.PAUSED,), services.may_steer,
        ),
        Press(
            "cancel",
            pgettext_lazy("campaign", "Cancel"),
            _L("Canceled: what has not been sent is called off."),
            services.cancel,
            (CampaignState.PREPARING, CampaignState.READY, *STARTED),
            services.may_steer,
        ),
    )
}  # fmt: skip


class StateFilter(ListFilter):
    title = _L("State")
    parameter_name = "state"
    offered = CampaignState


class CampaignChangeList(KeysetChangeList):
    """The table: each campaign with its badge and how many payments it has."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counted = dict(
            Campaign.objects.filter(pk__in=[each.pk for each in self.result_list])
            .order_by()
            .values_list("pk")
            .annotate(Count("items"))
        )
        self.rows = [(each, badge_of(each), counted[each.pk]) for each in self.result_list]


def badge_of(campaign: Campaign) -> Badge:
    state = CampaignState(campaign.state)
    return Badge(state.label, _TONES[state])


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin):
    """Every campaign whose payments a person may all see, whoever made it."""

    list_select_related = ("created_by", "reason")
    list_filter = (StateFilter,)
    list_class: ClassVar[type[KeysetChangeList]] = CampaignChangeList
    list_title = _L("Campaigns")
    search_fields = ("name",)
    search_help_text = _L("Name")
    change_list_template = "admin/campaigns/campaign/change_list.html"
    results_template = "campaigns/_results.html"

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        act = guarded(pressed(self.act_view, PAGE))
        name = "campaigns_campaign"
        return [
            path("new/", guarded(self.new_view), name=f"{name}_new"),
            path("<path:object_id>/result.csv", guarded(self.result_view), name=f"{name}_result"),
            *(
                path(f"<path:object_id>/{press}/", act, {"press": press}, name=f"{name}_{press}")
                for press in PRESSES
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_make": services.may_make(signed_in(request))}
        return super().changelist_view(request, context | (extra_context or {}))

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """Make a campaign of what the query of the address shows, or of a file."""
        user = signed_in(request)
        if not services.may_make(user):
            raise PermissionDenied(_("You may not make campaigns."))
        table = self.admin_site.get_model_admin(Transaction)
        assert isinstance(table, TransactionTable)
        query = table.canonical(request)
        if sentence := _why_not_asked(request, query, user):
            messages.error(request, sentence)
            return redirect("admin:transactions_transaction_changelist")
        is_post = request.method == "POST"
        data = (request.POST, request.FILES) if is_post else ()
        form = CampaignForm(query, *data)
        if form.is_valid():
            lines = form.cleaned_data.get("file", [])
            campaign = services.make(form.campaign(), lines, actor=user)
            messages.success(request, _("The dry run has begun. Nothing is refunded yet."))
            return redirect(PAGE, campaign.pk)
        template = "campaigns/new.html"
        return self.render(request, template, None, form=form, query=query, title=_("New campaign"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self.refuse_writing(request)
        campaign = self.get_visible(request, object_id)
        context = self.describe(request, campaign)
        if request.GET.get("fragment") == "campaign":
            return render(request, "campaigns/_campaign.html", context)
        template = "admin/campaigns/campaign/change_form.html"
        return self.render(request, template, campaign, **context)

    def describe(self, request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
        """The context of a campaign's page."""
        user = signed_in(request)
        is_ready = campaign.state == CampaignState.READY
        is_over = campaign.ended_at is not None
        shown = request.GET.get("items", "")
        items = campaign.items.select_related("transaction__account", "refund").order_by("pk")
        items = items.filter(state=shown) if shown in ItemState.values else items
        after = request.GET.get("after", "")
        after_key = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
        found = list(items.filter(pk__gt=after_key)[: self.list_per_page + 1])
        return {
            "campaign": campaign,
            "badge": badge_of(campaign),
            "parts": progress_of(campaign),
            "totals": services.totals(campaign),
            "why_not": retell(_why_not_started(campaign, user) if is_ready else campaign.problem),
            "presses": [
                (press, reverse(f"admin:campaigns_campaign_{press.name}", args=[campaign.pk]))
                for press in PRESSES.values()
                if campaign.state in press.states and press.may(campaign, user)
            ],
            "waits_for_another": is_ready and not services.may_start(campaign, user),
            "poll_after": None if is_ready or is_over else _POLL_AFTER,
            "may_export": _may_export(campaign, user),
            "items": found[: self.list_per_page],
            "item_states": ItemState.choices,
            "state_shown": shown,
            "next_after": found[self.list_per_page - 1].pk
            if len(found) > self.list_per_page
            else None,
        }

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A campaign has payments of several accounts: :meth:`get_queryset` finds whose."""
        return may_somewhere(request.user, self.view_right)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        seen = services.within_reach(Campaign.objects.all(), signed_in(request), self.view_right)
        return seen.order_by(*self.get_ordering(request))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Campaign | None:
        related = ("created_by", "started_by", "reason")
        try:
            return self.get_queryset(request).select_related(*related).get(pk=object_id)
        except (Campaign.DoesNotExist, ValueError, OverflowError):
            return None

    def act_view(self, request: HttpRequest, object_id: str, press: str) -> HttpResponse:
        """Do what a button says. The service checks the right and the state."""
        campaign = self.get_visible(request, object_id)
        button = PRESSES[press]
        if button.proven and (question := step_up.ask(request)):
            return question
        level, said = messages.SUCCESS, str(button.done)
        try:
            button.service(campaign, actor=signed_in(request))
        except NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        except WrongStatus as refusal:
            level, said = messages.ERROR, str(refusal)
            code = code_of(refusal)
            record_refusal(press, campaign, actor=request.user, code=code, why=said)
        messages.add_message(request, level, said)
        return follow(request, reverse(PAGE, args=[campaign.pk]))

    def result_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Every payment of the campaign and what became of it, as a file."""
        campaign = self.get_visible(request, object_id)
        if not _may_export(campaign, signed_in(request)):
            raise PermissionDenied(_("You may not export transactions."))
        told = {"what": "campaign", "format": "csv", "rows": campaign.items.count()}
        record(Kind.EXPORTED, actor=signed_in(request), about=campaign, data=told)
        headers = {"Content-Disposition": f'attachment; filename="campaign-{campaign.pk}.csv"'}
        kind = "text/csv; charset=utf-8"
        return StreamingHttpResponse(result_lines(campaign), content_type=kind, headers=headers)


def _may_export(campaign: Campaign, user: User) -> bool:
    found = Campaign.objects.filter(pk=campaign.pk)
    return services.within_reach(found, user, "transactions.export_transaction").exists()


def _why_not_started(campaign: Campaign, user: User) -> str:
    """By nobody, or not by this person, who may start campaigns."""
    sentence = services.why_not_started(campaign)
    if sentence or not services.may_start(campaign, user):
        return sentence
    return services.why_not_started_by(campaign, user)


def _why_not_asked(request: HttpRequest, query: str, user: User) -> str:
    """The sentence why the address makes no campaign, or ''. Without a filter a file makes it."""
    if len(query) > SavedView.QUERY_LENGTH or "%00" in request.GET.urlencode():
        return _("The search is too long or cannot be read. Filter anew.")
    asked = {name: value for name, value in request.GET.dict().items() if value.strip()}
    return why_not_read(read_query(urlencode(asked), user)) if asked else ""
