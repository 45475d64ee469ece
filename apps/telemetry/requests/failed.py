"""What is called a failure of the service."""

from __future__ import annotations

from django.db.models import Q

# A caller who leaves is none.
FAILED = Q(status__gte=500) | Q(ended__in=("replica", "timeout", "gateway"))
