"""What clouds rent and for how much: a table in PostgreSQL, first filled from a dated snapshot.

Rules and pages of offers read it; nothing here calls a cloud.
"""
