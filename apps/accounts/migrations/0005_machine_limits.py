from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that code of before leaves empty: no limit."""

    dependencies = [("accounts", "0004_bounds_of_projects")]

    operations = [
        migrations.AddField(
            "project", "max_instances", models.PositiveIntegerField(blank=True, null=True)
        ),
        migrations.AddField(
            "project",
            "max_usd_per_hour",
            models.DecimalField(blank=True, decimal_places=4, max_digits=10, null=True),
        ),
    ]
