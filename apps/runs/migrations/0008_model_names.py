from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform, KeyTransform

# Two runs may have been submitted at the same moment: the first of them keeps the name. The new
# column's lock keeps everybody from writing another one until the constraint stands.
KEEP_ONE = """
UPDATE runs_run SET
    model_withheld = true,
    notice = trim(notice || ' Another run on this gateway has the model name '
        || (spec #>> '{model,name}') || ': requests for it go there. Give the model another name, '
        || 'or deploy again once that run has stopped.')
WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (
            PARTITION BY gateway_id, spec #>> '{model,name}' ORDER BY created_at, id
        ) AS place
        FROM runs_run
        WHERE state NOT IN ('stopping', 'stopped', 'failed')
            AND gateway_id IS NOT NULL AND spec #>> '{model,name}' IS NOT NULL
    ) AS claims WHERE place > 1
)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0007_image_pins"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="model_withheld",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunSQL(KEEP_ONE, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                models.F("gateway"),
                KeyTextTransform("name", KeyTransform("model", "spec")),
                condition=~models.Q(state__in=["stopping", "stopped", "failed"])
                & models.Q(model_withheld=False),
                name="one_active_run_per_model_name",
            ),
        ),
    ]
