"""What kinds of backends that manage DNS have beside their machines.

Providers are it, and who makes records calls it.
"""
