"""Requests told one by one: read out of the lines of HAProxy, and chosen where they are many.

`gateway.traffic.service` gives it the lines and sends what it tells.
"""
