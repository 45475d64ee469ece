"""What to do when a store is away or full (PostgreSQL, Valkey, the disk), and files in one step.

Every app may call it.
"""
