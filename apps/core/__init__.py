"""What every stage rests on: state machines and transitions, errors, ids, secrets, hints.

Every app may call it; it knows none of them.
"""
