"""What the pages of services show, finished, so that templates only place it.

Only the views call it.
"""
