"""The machine that the server runs on, as a backend of one instance.

Only the registry of providers calls it.
"""
