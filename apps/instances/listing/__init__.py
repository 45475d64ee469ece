"""What pages and the API show of machines, and ending one by hand.

The composition root includes `urls` and `api`; `queries` are read-only.
"""
