from django.db import migrations, models


class Migration(migrations.Migration):
    """The fields' names only: columns keep their own, so that code of before serves beside it."""

    dependencies = [("runs", "0011_requests_without_an_answer")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "run",
                    "deployment",
                    models.PositiveIntegerField(db_column="deployment", default=1),
                ),
                migrations.RenameField("run", "deployment", "version"),
                migrations.AlterField(
                    "replica",
                    "deployment",
                    models.PositiveIntegerField(db_column="deployment", default=1),
                ),
                migrations.RenameField("replica", "deployment", "version"),
                migrations.RemoveConstraint("runversion", "one_version_per_number"),
                migrations.AlterField(
                    "runversion", "number", models.PositiveIntegerField(db_column="number")
                ),
                migrations.RenameField("runversion", "number", "version"),
                migrations.AddConstraint(
                    "runversion",
                    models.UniqueConstraint(
                        fields=("run", "version"), name="one_version_per_number"
                    ),
                ),
            ]
        )
    ]
