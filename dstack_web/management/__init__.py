"""Commands of `manage.py` about the whole server.

Whoever runs the server calls them.
"""
