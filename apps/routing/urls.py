"""Pages of routing."""

from __future__ import annotations

from django.urls import path

from apps.routing import views
from apps.routing.playground import views as playground

app_name = "routing"

PLAYGROUND = "projects/<str:project>/models/playground/"

urlpatterns = [
    path(PLAYGROUND, playground.playground, name="playground"),
    path(f"{PLAYGROUND}chat/", playground.chat, name="playground_chat"),
    path(f"{PLAYGROUND}code/", playground.code, name="playground_code"),
    path(f"{PLAYGROUND}key/", playground.key, name="playground_key"),
    path(
        "projects/<str:project>/services/<str:name>/open/", views.open_service, name="open_service"
    ),
]
