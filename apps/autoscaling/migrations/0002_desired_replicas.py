from django.db import migrations, models


class Migration(migrations.Migration):
    """The field's name only: the column keeps its own, so that code of before serves beside it."""

    dependencies = [("autoscaling", "0001_first")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "decision",
                    "wanted",
                    models.PositiveIntegerField(db_column="wanted"),
                ),
                migrations.RenameField("decision", "wanted", "desired_replicas"),
            ]
        )
    ]
