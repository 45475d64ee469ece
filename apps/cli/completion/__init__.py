"""Completion by a shell: the script that asks us, and the names that are offered.

The command's main module and its options call it.
"""
