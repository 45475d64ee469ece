import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Nothing had been stored in the old form yet."""

    dependencies = [("telemetry", "0001_first")]

    operations = [
        migrations.RemoveField(model_name="logchunk", name="lines"),
        migrations.AddField(
            model_name="logchunk",
            name="text",
            field=models.TextField(default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="logchunk",
            name="offsets_ms",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.IntegerField(), default=list, size=None
            ),
            preserve_default=False,
        ),
    ]
