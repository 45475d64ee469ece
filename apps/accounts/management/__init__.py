"""Commands of `manage.py` about users.

Whoever runs the server calls them.
"""
