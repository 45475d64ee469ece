"""Single requests of runs, as gateways tell of them."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0012_busiest_gpu"),
    ]

    operations = [
        migrations.CreateModel(
            name="ServedRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("run_id", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("request_id", models.CharField(blank=True, max_length=128)),
                ("method", models.CharField(blank=True, max_length=16)),
                ("path", models.CharField(blank=True, max_length=200)),
                ("status", models.PositiveSmallIntegerField()),
                ("ended", models.CharField(blank=True, max_length=16)),
                ("token_id", models.BigIntegerField(null=True)),
                ("by_browser", models.BooleanField(default=False)),
                ("replica_num", models.PositiveIntegerField(null=True)),
                ("held_ms", models.FloatField(default=0)),
                ("first_byte_ms", models.FloatField(null=True)),
                ("total_ms", models.FloatField()),
                ("tokens_in", models.BigIntegerField(null=True)),
                ("tokens_out", models.BigIntegerField(null=True)),
                ("weight", models.BigIntegerField(default=1)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["run_id", "at"], name="telemetry_s_run_id_199f58_idx"),
                    models.Index(
                        fields=["run_id", "request_id"], name="telemetry_s_run_id_651e55_idx"
                    ),
                    models.Index(fields=["at"], name="telemetry_s_at_a46e2a_idx"),
                ],
            },
        ),
    ]
