"""The table in force and what follows from it.

Slots, limits, look-ups, what HAProxy must hold. Pure. Every other room of the gateway may call it.
"""
