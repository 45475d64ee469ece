"""Every variable of the environment that the product reads: one list, which the server's settings,
the documentation's page *Settings* and the tests read.

Agent, gateway and command line run without this package and keep their defaults; a test holds them
against the list.
"""
