import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The fields' names only: columns keep their own, so that code of before serves beside it."""

    dependencies = [
        ("backends", "0003_accounts_are_backends"),
        ("instances", "0003_image_pins"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("instance", "one_live_instance_per_shared_host"),
                migrations.AlterField(
                    "instance", "backend", models.CharField(db_column="backend", max_length=32)
                ),
                migrations.RenameField("instance", "backend", "backend_kind"),
                migrations.AlterField(
                    "instance",
                    "account",
                    models.ForeignKey(
                        db_column="account_id",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="instances",
                        to="backends.backend",
                    ),
                ),
                migrations.RenameField("instance", "account", "backend"),
                migrations.AddConstraint(
                    "instance",
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("shared", True),
                            models.Q(("state__in", ["terminated", "failed"]), _negated=True),
                        ),
                        fields=("backend_kind", "name"),
                        name="one_live_instance_per_shared_host",
                    ),
                ),
            ]
        )
    ]
