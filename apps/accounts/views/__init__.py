"""Pages to sign in, and of people, projects and tokens.

Only the app's `urls` names them.
"""
