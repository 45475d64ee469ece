"""What the workers and beat need besides Celery: the times of tasks, and how they are acknowledged.

Only the Celery application names it.
"""
