from __future__ import annotations

from django.apps import AppConfig


class ChatTemplatesConfig(AppConfig):
    name = "apps.chat_templates"
