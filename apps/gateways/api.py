"""Certificates of a project's gateways."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status

from apps.accounts import access as accounts
from apps.gateways import certificates, queries, seen
from apps.gateways.models import Certificate, Gateway

router = Router()


class HostOut(Schema):
    """How it stands with a host's certificate: pending, valid or failed, by acme or upload."""

    host: str
    state: str
    source: str
    expires_at: datetime | None
    error: str | None


class CertificateOut(Schema):
    id: int
    hosts: list[str]
    issuer: str
    fingerprint: str
    not_before: datetime
    expires_at: datetime
    brought_by: str
    created_at: datetime


class CertificateList(Schema):
    """`items` are the certificates that somebody brought; `hosts` says what the gateway reports."""

    items: list[CertificateOut]
    hosts: list[HostOut]
    next_cursor: str | None


class NewCertificate(Schema):
    """PEM: the chain with the gateway's own certificate first, and its private key."""

    chain: str
    key: str


CERTIFICATES = "/projects/{project}/gateways/{gateway}/certificates"


@router.get(CERTIFICATES, response=CertificateList, summary="List certificates")
def list_certificates(request: HttpRequest, project: str, gateway: str) -> dict[str, Any]:
    """What somebody brought, and how it stands with each host. Keys are never shown.

    Of a gateway that several projects share, a project sees its own; admins of the server see all.
    """
    access = accounts.of(request)
    where = access.project(project)
    found = seen.of(access, where, queries.named(where, gateway))
    items = [certificate_json(each) for each in found.certificates]
    return {"items": items, "hosts": hosts_json(found), "next_cursor": None}


@router.post(CERTIFICATES, response={201: CertificateOut}, summary="Bring a certificate")
def bring_certificate(
    request: HttpRequest, project: str, gateway: str, body: NewCertificate
) -> Status[dict[str, Any]]:
    """For the project's admins; for admins of the server where others use the gateway too."""
    who = accounts.of(request)
    found = _managed(who, project, gateway)
    made = certificates.bring(
        gateway=found, chain=body.chain, key=body.key, actor=who.actor, at=timezone.now()
    )
    return Status(201, certificate_json(made))


@router.delete(
    CERTIFICATES + "/{certificate_id}", response={204: None}, summary="Remove a certificate"
)
def remove_certificate(
    request: HttpRequest, project: str, gateway: str, certificate_id: int
) -> Status[None]:
    """For whoever may bring one."""
    found = _managed(accounts.of(request), project, gateway)
    certificates.remove(gateway=found, pk=certificate_id)
    return Status(204, None)


def _managed(who: accounts.Access, project: str, gateway: str) -> Gateway:
    where = who.project(project)
    found = queries.named(where, gateway)
    queries.require_manage(who, where, found)
    return found


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    kept = ("hosts", "issuer", "fingerprint", "not_before", "brought_by", "created_at")
    return {
        "id": certificate.pk,
        "expires_at": certificate.not_after,
        **{name: getattr(certificate, name) for name in kept},
    }


def hosts_json(found: seen.Seen) -> list[dict[str, Any]]:
    return [
        {
            **{name: each[name] for name in ("host", "state", "source")},
            "expires_at": each["expires_at"] and datetime.fromtimestamp(each["expires_at"], UTC),
            "error": each["error"] or None,
        }
        for each in found.hosts
    ]
