from django.db import migrations


class Migration(migrations.Migration):
    """Levels are worked out of the events. The table stays: code of before writes it still."""

    dependencies = [("telemetry", "0010_desired_replicas")]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Level")])
    ]
