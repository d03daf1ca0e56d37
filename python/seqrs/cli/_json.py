"""Lines of JSON, as ``--json`` prints them."""

import json
import math
from typing import Any


def line(value: Any) -> str:
    """Return a value as JSON in one line.

    JSON has no NaN and no infinities. They stand as the strings "NaN", "Infinity" and "-Infinity", which
    the ``float`` of Python and the ``Number`` of JavaScript read.
    """
    return json.dumps(_with_names(value), ensure_ascii=False, allow_nan=False)


def _with_names(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _with_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_names(item) for item in value]
    return value
