from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateways", "0003_pruned_tombstones")]

    operations = [
        migrations.AddField("gateway", "tunnel_port", models.PositiveIntegerField(null=True)),
        migrations.AddField(
            "gateway",
            "tunnel_user",
            models.CharField(max_length=32, blank=True, default="", db_default=""),
        ),
        migrations.AddField(
            "gateway",
            "tunnel_host_key",
            models.CharField(max_length=100, blank=True, default="", db_default=""),
        ),
    ]
