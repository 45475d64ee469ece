"""One command of `manage.py` a module.

Django finds them by name; nothing imports them.
"""
