"""The servers that come as Python wheels: PostgreSQL and Valkey, found, made ready and asked.

Only the embedded server calls it.
"""
