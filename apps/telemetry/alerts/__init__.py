"""What a person must look at though the service runs: refused calls, errors, its limit.

Pages call it; `decide` holds the rules and knows no database.
"""
