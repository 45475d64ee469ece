"""One folder for each kind of backend.

Only `registry` imports them, by its table; they know `base` and not each other.
"""
