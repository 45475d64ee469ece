from django.db import migrations, models


class Migration(migrations.Migration):
    """The field's name only: the column keeps its own, so that code of before serves beside it."""

    dependencies = [("runs", "0012_versions_by_name")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "run",
                    "replicas_wanted",
                    models.PositiveIntegerField(db_column="replicas_wanted", default=1),
                ),
                migrations.RenameField("run", "replicas_wanted", "desired_replicas"),
            ]
        )
    ]
