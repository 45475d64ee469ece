from django.db import migrations, models


class Migration(migrations.Migration):
    """A column that code of before leaves empty: the project is found as before."""

    dependencies = [("accounts", "0006_budgets")]

    operations = [
        migrations.AddField(
            "user",
            "last_project",
            models.ForeignKey(
                "accounts.Project", models.SET_NULL, null=True, blank=True, related_name="+"
            ),
        ),
    ]
