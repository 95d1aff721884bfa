"""The staff site: Django's admin in django-unfold's dress."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class RefundDeskSite(UnfoldAdminSite):
    enable_nav_sidebar = True
