import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backends", "0003_accounts_are_backends")]

    operations = [
        migrations.CreateModel(
            name="ServerIdentity",
            fields=[
                ("is_only", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("server_id", models.UUIDField(default=uuid.uuid4)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(is_only=True), name="one_server")
                ]
            },
        )
    ]
