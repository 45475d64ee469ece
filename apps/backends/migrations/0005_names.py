from typing import Any

from django.db import migrations, models
from django.db.models import F


def name_by_kind(apps: Any, schema_editor: Any) -> None:
    apps.get_model("backends", "Backend").objects.filter(name="").update(name=F("kind"))


class Migration(migrations.Migration):
    dependencies = [("backends", "0004_server_identity")]

    operations = [
        migrations.AddField(
            model_name="backend",
            name="name",
            field=models.CharField(max_length=32, db_default=""),
        ),
        migrations.RunPython(name_by_kind, migrations.RunPython.noop),
        migrations.RemoveConstraint(model_name="backend", name="one_account_per_kind"),
        migrations.AddConstraint(
            model_name="backend",
            constraint=models.UniqueConstraint(
                fields=["project", "name"],
                condition=models.Q(closed_at=None) & ~models.Q(name=""),
                name="one_open_backend_per_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="backend",
            constraint=models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(kind="local"),
                name="this_machine_once_per_project",
            ),
        ),
    ]
