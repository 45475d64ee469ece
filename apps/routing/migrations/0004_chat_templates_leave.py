from django.db import migrations


class Migration(migrations.Migration):
    """The models belong to `chat_templates` from here on; their tables stay as they are."""

    dependencies = [
        ("routing", "0003_certificates"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel("ModelSource"),
                migrations.DeleteModel("Repository"),
            ]
        )
    ]
