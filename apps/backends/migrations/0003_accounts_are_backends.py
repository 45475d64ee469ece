from django.db import migrations, models


class Migration(migrations.Migration):
    """The names only: the table keeps its own, so that code of before serves beside it."""

    # The last one, too, that knows the model by its name of before.
    dependencies = [
        ("backends", "0002_accounts_can_be_closed"),
        ("instances", "0003_image_pins"),
        ("accounts", "0001_first"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelTable("account", "backends_account"),
                migrations.RenameModel("Account", "Backend"),
                migrations.AlterField(
                    "backend",
                    "project",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="backends", to="accounts.project"
                    ),
                ),
            ]
        )
    ]
