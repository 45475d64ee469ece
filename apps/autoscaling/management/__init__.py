"""Commands of `manage.py` about scaling.

Whoever tries out a rule calls them.
"""
