from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0014_waits_for_a_place")]

    operations = [
        migrations.AddField(
            "replica",
            "placed_why",
            models.CharField(max_length=300, blank=True, default="", db_default=""),
        ),
    ]
