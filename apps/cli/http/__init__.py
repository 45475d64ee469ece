"""How the command line speaks to a server: which one, with which token, and what can go wrong.

Commands and the steps of `publish` call it; it knows nothing of what is asked for.
"""
