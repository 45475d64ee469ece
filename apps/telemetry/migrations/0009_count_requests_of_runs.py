"""A total of each run's requests, begun with what its hours hold."""

from __future__ import annotations

from django.db import migrations, models

SUMS = """
INSERT INTO telemetry_requesttotal (run_id, requests)
SELECT run_id, sum(requests) FROM telemetry_keyuse GROUP BY run_id
ON CONFLICT (run_id) DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0008_count_who_said_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestTotal",
            fields=[
                ("run_id", models.UUIDField(primary_key=True, serialize=False)),
                ("requests", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunSQL(SUMS, migrations.RunSQL.noop),
    ]
