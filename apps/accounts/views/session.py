"""Signing in and out, and one's password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.accounts import services, throttle
from apps.accounts.forms import PasswordForm, SignInForm
from apps.accounts.models import User
from apps.core.errors import AppError, TooManyRequests
from apps.core.http.client_address import client_address
from apps.core.http.htmx import page

WRONG = "This user name and password do not fit together."


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    after = _after(request)
    if request.user.is_authenticated:
        return redirect(after)
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = _authenticate(request, form)
        except TooManyRequests as error:
            return _too_many(request, form, error)
        if user is not None:
            login(request, user)
            return redirect(after)
    status = 422 if form.errors else 200
    context = {"form": form, "next": after}
    return render(request, "accounts/sign_in.html", context, status=status)


def _too_many(request: HttpRequest, form: SignInForm, error: TooManyRequests) -> HttpResponse:
    form.add_error(None, error.message)
    context = {"form": form, "next": _after(request)}
    response = render(request, "accounts/sign_in.html", context, status=error.status)
    response["Retry-After"] = str(error.retry_after_seconds)
    return response


def _authenticate(request: HttpRequest, form: SignInForm) -> User | None:
    username, password = form.cleaned_data["username"], form.cleaned_data["password"]
    address = client_address(request)
    wait = throttle.seconds_to_wait(username=username, address=address)
    if wait:
        form.add_error(None, f"Too many tries for this name. Try again in {wait} s.")
        return None
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        form.add_error(None, WRONG)
        return None
    throttle.signed_in(username=username, address=address)
    return user


def _after(request: HttpRequest) -> str:
    wanted = request.POST.get("next", request.GET.get("next", ""))
    if url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return "/"


@require_http_methods(["POST"])
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    # What was opened in this browser with the session ends with it.
    services.grants_changed()
    return redirect("accounts:sign_in")


@sensitive_post_parameters("old", "new", "again")
@page("GET", "POST")
def password(request: HttpRequest) -> HttpResponse:
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _change(request, form):
        messages.success(request, "Your password is changed.", extra_tags="green")
        return redirect("home")
    status = 422 if form.errors else 200
    return render(request, "accounts/password.html", {"form": form}, status=status)


def _change(request: HttpRequest, form: PasswordForm) -> bool:
    assert isinstance(request.user, User)
    data = form.cleaned_data
    try:
        services.change_password(user=request.user, old=data["old"], new=data["new"])
    except AppError as error:
        form.refuse(_at_new_field(error))
        return False
    update_session_auth_hash(request, request.user)
    services.grants_changed()
    return True


def _at_new_field(error: AppError) -> AppError:
    for index, detail in enumerate(error.details):
        if detail.path == "password":
            error.details[index] = type(detail)("new", detail.message)
    return error
