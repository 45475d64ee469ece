"""Files that a new machine boots with, and that run there.

`document` reads them; nobody imports them.
"""
