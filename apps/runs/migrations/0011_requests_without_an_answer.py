from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0010_failures_counted_since")]

    operations = [
        migrations.AddField(
            "replica",
            "unanswered",
            models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
