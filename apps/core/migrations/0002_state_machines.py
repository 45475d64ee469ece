from django.db import migrations, models


class Migration(migrations.Migration):
    """The field's name only: the column keeps its own, so that code of before serves beside it."""

    dependencies = [("core", "0001_first")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("event", "one_event_per_transition"),
                migrations.AlterField(
                    "event", "machine", models.CharField(db_column="machine", max_length=16)
                ),
                migrations.RenameField("event", "machine", "state_machine"),
                migrations.AddConstraint(
                    "event",
                    models.UniqueConstraint(
                        fields=("state_machine", "object_id", "version"),
                        name="one_event_per_transition",
                    ),
                ),
            ]
        )
    ]
