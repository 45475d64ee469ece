"""A working folder on its way to the server.

Which files, packed how, and sent only where they are not there. Only `publish` and the commands
call it.
"""
