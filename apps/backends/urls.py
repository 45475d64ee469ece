"""Pages of backends."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.backends.pages import connecting, project

app_name = "backends"


def _pages(start: str, prefix: str = "") -> list[URLPattern]:
    """The same pages for a project and for the server."""
    one = f"{start}<str:name>/"
    return [
        path(start, project.backend_list, name=f"{prefix}list"),
        path(f"{start}connect/", connecting.connect, name=f"{prefix}connect"),
        path(f"{start}checks/<uuid:check>/", connecting.check, name=f"{prefix}check"),
        path(one, project.backend_detail, name=f"{prefix}detail"),
        path(f"{one}config/", connecting.change, name=f"{prefix}backend_config"),
        path(f"{one}check/", project.backend_check, name=f"{prefix}backend_check"),
        path(f"{one}state/", project.backend_state, name=f"{prefix}backend_state"),
        path(f"{one}delete/", project.backend_delete, name=f"{prefix}backend_delete"),
    ]


urlpatterns = [
    path("projects/<str:project>/backends/local/open/", project.open_local, name="open_local"),
    *_pages("projects/<str:project>/backends/"),
    *_pages("backends/", "server_"),
]
