"""Backends over HTTP: those of a project and those of the server. A check is waited for, not made.

Only the composition root calls it.
"""
