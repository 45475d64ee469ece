"""Where replicas and their machines stand, in words, and since when.

`phases` is pure; queries and pages call `looking`.
"""
