from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backends", "0001_first")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="closed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
