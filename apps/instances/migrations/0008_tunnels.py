import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateways", "0003_pruned_tombstones"),
        ("instances", "0007_enrolment"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    models.Q(("public_key", ""), _negated=True),
                    models.Q(("state__in", ["terminated", "failed"]), _negated=True),
                ),
                fields=("public_key",),
                name="one_live_instance_per_key",
            ),
        ),
        migrations.CreateModel(
            name="Tunnel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("port", models.PositiveIntegerField()),
                ("reached_at", models.DateTimeField(null=True)),
                ("freed_at", models.DateTimeField(null=True)),
                (
                    "gateway",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tunnels",
                        to="gateways.gateway",
                    ),
                ),
                (
                    "instance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tunnels",
                        to="instances.instance",
                    ),
                ),
                (
                    "workload",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tunnel",
                        to="instances.workload",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="tunnel",
            constraint=models.UniqueConstraint(
                fields=("gateway", "port"), name="one_tunnel_per_port"
            ),
        ),
    ]
