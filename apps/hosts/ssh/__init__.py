"""Calls over OpenSSH: what is run there, and what its failures mean in words.

Workers' steps of a host call `client`; nothing of a person's is ever part of a command line.
"""
