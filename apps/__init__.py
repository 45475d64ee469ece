"""The stages of the flow, each an app that imports the ones below it.

Only `dstack_web` puts them together.
"""
