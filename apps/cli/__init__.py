"""The `dstack` command: it speaks to a server by its API alone and needs the base install.

The script `dstack` calls `main`; nothing imports it.
"""
