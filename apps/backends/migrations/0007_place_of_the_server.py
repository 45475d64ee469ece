from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backends", "0006_server_wide_and_checks")]

    operations = [
        migrations.AddField(
            model_name="serveridentity",
            name="place",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
    ]
