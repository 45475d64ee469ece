"""YAML text, read with the place of every key and value.

Only this package's own stages call it; it knows no key.
"""
