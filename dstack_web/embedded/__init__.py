"""The whole product as one command: servers found and started, children kept running, backups.

Only `manage.py` and the containers' start call it.
"""
