"""Packed folders: what they hold, their hash, and what is left out of them.

The command line and uploads call it.
"""
