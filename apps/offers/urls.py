"""Pages of offers."""

from __future__ import annotations

from django.urls import path

from apps.offers import views

app_name = "offers"

urlpatterns = [path("projects/<str:project>/offers/", views.offer_list, name="list")]
