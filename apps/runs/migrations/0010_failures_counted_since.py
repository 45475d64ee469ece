from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """The field's name only: the column keeps its own, so that code of before serves beside it."""

    dependencies = [("runs", "0009_uploads_in_use")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "run",
                    "asked_at",
                    models.DateTimeField(db_column="asked_at", default=django.utils.timezone.now),
                ),
                migrations.RenameField("run", "asked_at", "failures_counted_since"),
            ]
        )
    ]
