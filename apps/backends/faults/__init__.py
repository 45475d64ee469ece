"""What goes wrong with accounts: what they may keep, what clouds say, machines that never call.

Each module keeps what it knows in the row of the backend; the later stages tell it there, and pages
and the API show it to whom it is for.
"""
