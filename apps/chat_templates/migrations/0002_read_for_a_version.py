from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat_templates", "0001_from_routing")]

    operations = [
        migrations.AddField(
            "modelsource", "version", models.PositiveIntegerField(db_default=0, default=0)
        ),
    ]
