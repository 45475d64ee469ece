import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The tables are there already, under the names that `routing` gave them."""

    dependencies = [
        ("accounts", "0004_bounds_of_projects"),
        ("routing", "0004_chat_templates_leave"),
        ("runs", "0010_failures_counted_since"),
    ]

    state_operations = [
        migrations.CreateModel(
            name="Repository",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hub_url", models.CharField(max_length=300)),
                ("name", models.CharField(max_length=200)),
                ("revision", models.CharField(max_length=200)),
                ("chat_template", models.TextField(blank=True)),
                ("tool_template", models.TextField(blank=True)),
                ("bos_token", models.CharField(blank=True, max_length=200)),
                ("eos_token", models.CharField(blank=True, max_length=200)),
                ("read_at", models.DateTimeField(null=True)),
                ("error", models.TextField(blank=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(db_index=True, null=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="repositories",
                        to="accounts.project",
                    ),
                ),
            ],
            options={
                "db_table": "routing_repository",
                "verbose_name_plural": "repositories",
            },
        ),
        migrations.CreateModel(
            name="ModelSource",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="model_source",
                        serialize=False,
                        to="runs.run",
                    ),
                ),
                ("problem", models.TextField(blank=True)),
                (
                    "repository",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sources",
                        to="chat_templates.repository",
                    ),
                ),
            ],
            options={"db_table": "routing_modelsource"},
        ),
        migrations.AddConstraint(
            model_name="repository",
            constraint=models.UniqueConstraint(
                fields=("project", "hub_url", "name", "revision"), name="one_repository_per_name"
            ),
        ),
    ]

    operations = [migrations.SeparateDatabaseAndState(state_operations=state_operations)]
