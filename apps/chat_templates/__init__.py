"""Chat templates that specs leave open: read from the repositories of their models, and kept.

Routing puts them into the tables of gateways; that one was read travels up as an event.
"""
