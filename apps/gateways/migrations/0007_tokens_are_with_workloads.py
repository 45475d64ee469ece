from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("gateways", "0006_way_home")]

    operations = [migrations.RemoveField("gateway", "token")]
