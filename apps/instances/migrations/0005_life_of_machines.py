from django.db import migrations, models

LIVE = ~models.Q(state__in=["terminated", "failed"])


class Migration(migrations.Migration):
    """Columns that code of before leaves to their defaults; a wider one that it fills as before;
    a constraint that held too much, since hosts of one name in two backends are two."""

    dependencies = [
        ("backends", "0003_accounts_are_backends"),
        ("instances", "0004_backends"),
    ]

    operations = [
        # Wider and nothing else: what the code of before writes and reads stays as it is.
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    "ALTER TABLE instances_instance ALTER COLUMN ref TYPE text",
                    "ALTER TABLE instances_instance ALTER COLUMN ref TYPE varchar(200) "
                    "USING left(ref, 200)",
                )
            ],
            [migrations.AlterField("instance", "ref", models.TextField(blank=True))],
        ),
        migrations.AddField("instance", "running_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "instance", "boot_error", models.TextField(blank=True, default="", db_default="")
        ),
        migrations.AddField(
            "instance",
            "idle_seconds",
            models.PositiveIntegerField(null=True, default=300, db_default=300),
        ),
        migrations.RemoveConstraint("instance", "one_live_instance_per_shared_host"),
        migrations.AddConstraint(
            "instance",
            models.UniqueConstraint(
                fields=["backend", "name"],
                condition=models.Q(shared=True) & LIVE,
                name="one_live_instance_per_host",
            ),
        ),
        migrations.AddConstraint(
            "instance",
            models.UniqueConstraint(
                fields=["backend_kind", "name"],
                condition=models.Q(shared=True, backend_kind="local") & LIVE,
                name="one_live_instance_of_this_machine",
            ),
        ),
    ]
