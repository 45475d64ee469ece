from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that code of before leaves empty: it makes no machine that enrols."""

    dependencies = [("instances", "0006_charges")]

    operations = [
        migrations.AddField(
            "instance",
            "enrolment_hash",
            models.CharField(max_length=64, blank=True, default="", db_default=""),
        ),
        migrations.AddField("instance", "enrolled_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "instance",
            "public_key",
            models.CharField(max_length=200, blank=True, default="", db_default=""),
        ),
        migrations.AddConstraint(
            "instance",
            models.UniqueConstraint(
                fields=["enrolment_hash"],
                condition=~models.Q(enrolment_hash=""),
                name="one_instance_per_enrolment",
            ),
        ),
    ]
