"""Uploaded working folders: received, packed, kept, counted and taken away.

Services and pages call it.
"""
