import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What machines cost outlives them; columns that code of before leaves empty."""

    dependencies = [
        ("accounts", "0004_bounds_of_projects"),
        ("instances", "0005_life_of_machines"),
    ]

    operations = [
        migrations.AddField("instance", "charged_until", models.DateTimeField(null=True)),
        migrations.AddField("workload", "owner_id", models.UUIDField(null=True)),
        migrations.CreateModel(
            name="Charge",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("instance_id", models.UUIDField()),
                ("instance_name", models.CharField(max_length=100)),
                ("backend", models.CharField(max_length=100)),
                ("region", models.CharField(max_length=64)),
                ("instance_type", models.CharField(max_length=100)),
                ("day", models.DateField()),
                ("run_id", models.UUIDField(null=True)),
                ("run_name", models.CharField(blank=True, max_length=100)),
                ("owner_id", models.UUIDField(null=True)),
                ("idle", models.BooleanField(default=False)),
                ("price_usd_per_hour", models.DecimalField(decimal_places=4, max_digits=10)),
                ("microseconds", models.BigIntegerField()),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="charges",
                        to="accounts.project",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "day"], name="instances_c_project_b4f00a_idx"),
                    models.Index(fields=["run_id"], name="instances_c_run_id_84bec3_idx"),
                    models.Index(fields=["owner_id"], name="instances_c_owner_i_db6405_idx"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["instance_id", "day", "run_id", "owner_id", "idle"],
                        nulls_distinct=False,
                        name="one_charge_per_share_of_a_day",
                    )
                ],
            },
        ),
    ]
