"""The proxy before the web server: time for heads and bodies, room for all, waiting for a restart.

The embedded server starts it as a child, the container image as its command.
"""
