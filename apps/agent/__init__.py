"""The agent: what runs on an instance, from the standard library alone (Python 3.9 and later).

The server knows it by `wire`, and packs it into one file by `build`.
"""
