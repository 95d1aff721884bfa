"""Every address of the site but the probes, which :mod:`refunds_site.health` answers."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from access import single_sign_on
from access.api import AccountViewSet
from access.sign_in import SecondStepView
from refunds.api import AttentionViewSet, RefundableTransactionViewSet, RefundViewSet
from refunds.webhook_views import WebhookView
from refunds_site.problems import UnknownAddress

handler400 = "refunds_site.problems.bad_request"
handler500 = "refunds_site.problems.server_error"

router = SimpleRouter(use_regex_path=False)
router.register("transactions", RefundableTransactionViewSet)
router.register("refunds", RefundViewSet)
router.register("attention", AttentionViewSet)
router.register("accounts", AccountViewSet)

# Under the names by which django-allauth looks for them.
door = [
    path("", admin.site.login, name="account_login"),
    path("second-step/", SecondStepView.as_view(), name="mfa_authenticate"),
    path("sso/", include(single_sign_on)),
]
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:transactions_transaction_changelist")),
    path("admin/login/", include(door)),
    path("admin/security/", include("access.security")),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(), name="docs"),
    path("api/v1/", include(router.urls)),
    path("webhooks/<slug:processor>/<slug:slug>/", WebhookView.as_view(), name="webhook"),
    re_path("^webhooks/", UnknownAddress.as_view()),
    re_path("^api/", UnknownAddress.as_view()),
]
