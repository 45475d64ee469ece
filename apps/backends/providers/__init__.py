"""One folder for each kind of backend, and what errors mean to all of them (`meanings`).

Only `registry` imports them, by its table; they know `base` and `meanings`, and not each other.
"""
