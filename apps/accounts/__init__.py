"""Users, projects, members and tokens, and who may see and do what.

Every app above calls `access`; the server's start makes the first user.
"""
