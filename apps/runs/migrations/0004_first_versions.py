"""Give each run that is there the version that it is, so that its history begins with it."""

from typing import Any

from django.db import migrations

COPIED = ("user_id", "configuration", "spec", "secrets", "upload_id", "created_at")


def first_versions(apps: Any, schema_editor: Any) -> None:
    Run = apps.get_model("runs", "Run")
    RunVersion = apps.get_model("runs", "RunVersion")
    for run in Run.objects.filter(versions=None).iterator(chunk_size=200):
        values = {name: getattr(run, name) for name in COPIED}
        RunVersion.objects.create(run=run, number=run.deployment, **values)


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_versions")]

    operations = [migrations.RunPython(first_versions, migrations.RunPython.noop)]
