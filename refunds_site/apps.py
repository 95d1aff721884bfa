from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class RefundDeskConfig(AppConfig):
    name = "refunds_site"


class RefundDeskAdminConfig(AdminConfig):
    default_site = "refunds_site.site.RefundDeskSite"
