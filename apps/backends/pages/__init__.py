"""Pages of backends: a project's, the server's own, and how one is connected.

Only `urls` names them.
"""
