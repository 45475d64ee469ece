"""What happens to a spec after it was read: defaults, rules over several keys, flags, references.

Only `parse` calls it.
"""
