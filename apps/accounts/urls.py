"""Pages of accounts."""

from __future__ import annotations

from django.urls import path

from apps.accounts.views import people, projects, session, tokens

app_name = "accounts"

urlpatterns = [
    path("sign-in/", session.sign_in, name="sign_in"),
    path("sign-out/", session.sign_out, name="sign_out"),
    path("password/", session.password, name="password"),
    path("users/", people.user_list, name="users"),
    path("users/<str:username>/state/", people.user_state, name="user_state"),
    path("new-project/", projects.project_new, name="project_new"),
    path("projects/<str:project>/tokens/", tokens.token_list, name="tokens"),
    path(
        "projects/<str:project>/tokens/<int:pk>/revoke/", tokens.token_revoke, name="token_revoke"
    ),
    path("projects/<str:project>/settings/", projects.project_settings, name="project_settings"),
    path("projects/<str:project>/delete/", projects.project_delete, name="project_delete"),
    path("projects/<str:project>/members/", people.member_list, name="members"),
    path(
        "projects/<str:project>/members/<str:username>/remove/",
        people.member_remove,
        name="member_remove",
    ),
]
