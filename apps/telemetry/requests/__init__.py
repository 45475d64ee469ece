"""Single requests, as gateways tell of them: kept for a while, shown, never with query or body.

A gateway tells some of each second's, so that what one service is asked cannot fill the database.
"""
