"""The YAML language of services: read, checked and explained with line and column. Pure.

Server and command line call `parse`.
"""
