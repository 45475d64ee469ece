"""Static files under names that change with their content: a browser may keep each for ever.

`collectstatic` writes the copies and the manifest; names in imports of scripts and in styles change
along. `front.cfg` knows such a name by its look.
"""

from __future__ import annotations

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class StaticFiles(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
