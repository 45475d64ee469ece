"""Pages of services: lists, one service, deploying, uploads, and what one can do to a run.

Only the app's `urls` names them.
"""
