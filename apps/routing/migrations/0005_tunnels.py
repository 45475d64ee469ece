from django.db import migrations, models

KINDS = [
    ("endpoint", "Endpoint"),
    ("key", "Key"),
    ("cert", "Certificate"),
    ("tunnel", "Tunnels of a machine"),
]


class Migration(migrations.Migration):
    """Names of kinds, which the database knows nothing of."""

    dependencies = [("routing", "0004_chat_templates_leave")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "entry", "kind", models.CharField(choices=KINDS, max_length=8)
                )
            ]
        )
    ]
