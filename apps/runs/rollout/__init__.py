"""Versions of a run: how it goes from one to another, what each was, which image it runs.

Services and the control loop call it.
"""
