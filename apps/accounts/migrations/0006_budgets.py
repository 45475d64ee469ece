from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that code of before leaves empty: no budget."""

    dependencies = [("accounts", "0005_machine_limits")]

    operations = [
        migrations.AddField(
            "project",
            "budget_usd_per_month",
            models.DecimalField(blank=True, decimal_places=4, max_digits=12, null=True),
        ),
        migrations.AddField(
            "project",
            "budget_warn_percent",
            models.PositiveSmallIntegerField(db_default=80, default=80),
        ),
    ]
