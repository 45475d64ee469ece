"""Machines that should not be: those whose rows are over, and those that no row knows.

The clock has `orphans` collect both; pages and the API show the second.
"""
