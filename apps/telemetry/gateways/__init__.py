"""What a gateway carries and writes: figures of all its services together, and its own log.

Its pages and the API call it; nothing here calls a gateway.
"""
