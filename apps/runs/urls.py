"""Pages of services."""

from __future__ import annotations

from django.urls import path

from apps.runs.views import actions, bulk, deploy, listing, models, service, settings, uploads

app_name = "runs"

PROJECT = "projects/<str:project>/"
SERVICE = f"{PROJECT}services/<str:name>/"

urlpatterns = [
    path(f"{PROJECT}services/", listing.service_list, name="list"),
    path(f"{PROJECT}bulk/", bulk.bulk, name="bulk"),
    path(f"{PROJECT}models/", models.model_list, name="models"),
    path(f"{PROJECT}deploy/", deploy.deploy, name="deploy"),
    path(f"{PROJECT}deploy/files/", deploy.upload_files, name="upload_files"),
    path(f"{PROJECT}uploads/", uploads.upload_list, name="uploads"),
    path(f"{PROJECT}uploads/<str:digest>/delete/", uploads.upload_delete, name="upload_delete"),
    path(SERVICE, service.service, name="service"),
    path(f"{SERVICE}key/", service.key, name="service_key"),
    path(f"{SERVICE}stop/", actions.stop, name="service_stop"),
    path(f"{SERVICE}scale/", actions.scale, name="service_scale"),
    path(f"{SERVICE}rollback/", actions.rollback, name="service_rollback"),
    path(f"{SERVICE}delete/", actions.delete, name="service_delete"),
    path(f"{SERVICE}settings/<str:section>/", settings.save, name="service_settings_save"),
    *(
        path(f"{SERVICE}{tab}/", service.service, {"tab": tab}, name=f"service_{tab}")
        for tab, _ in service.TABS
        if tab != "overview"
    ),
]
