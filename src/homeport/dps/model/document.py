"""Parts of documents that are kept as they came: the initial twin, optional device information."""

from collections.abc import Mapping
from typing import Any

JsonObject = Mapping[str, Any]
