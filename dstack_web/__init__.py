"""The composition root: settings, addresses, reactions, and the server that brings its own servers.

It imports everything and nobody imports it.
"""
