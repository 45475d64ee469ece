"""What clouds rent and for how much: a table in PostgreSQL, first filled from a dated snapshot.

Rules and pages of offers read it. The refresh alone, a task of the queue `outside`, asks clouds
that are connected what they cost now.
"""
