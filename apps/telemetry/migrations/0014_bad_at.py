"""When requests of a run last failed or waited."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0013_keep_single_requests"),
    ]

    operations = [
        migrations.AddField(
            model_name="requesttotal",
            name="bad_at",
            field=models.DateTimeField(null=True),
        ),
    ]
