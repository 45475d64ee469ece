"""What workers do with a host: its check, the installation, its instance, the removal.

`tasks` calls `steps`; services and queries ask `machines` and `findings`.
"""
