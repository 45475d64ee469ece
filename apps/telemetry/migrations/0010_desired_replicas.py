from django.db import migrations, models


class Migration(migrations.Migration):
    """The field's name only: the column keeps its own, so that code of before serves beside it."""

    dependencies = [("telemetry", "0009_count_requests_of_runs")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "level",
                    "wanted",
                    models.PositiveIntegerField(db_column="wanted"),
                ),
                migrations.RenameField("level", "wanted", "desired_replicas"),
            ]
        )
    ]
