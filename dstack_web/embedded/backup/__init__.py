"""A running server in one file, and from it another server.

Only `manage.py` calls it.
"""
