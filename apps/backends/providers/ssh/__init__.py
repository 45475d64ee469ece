"""A project's own hosts as a backend, which people add by ssh.

Only the registry of providers calls it; the hosts themselves are those of `apps.hosts`.
"""
