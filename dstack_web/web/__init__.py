"""What stands around every request: frame, errors, bounds, documentation, health, live hints.

Only URLs, settings and the API's root name it.
"""
