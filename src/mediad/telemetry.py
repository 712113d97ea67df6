"""Logs: structlog, JSON lines on standard error, set up by a call and never at import."""

import logging
import sys
from typing import Any

import structlog


def set_up(level: str = "info") -> None:
    """Log from ``level`` on as JSON, one line per event, with whatever is bound (docking, asset, slot)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _dump(value: Any, **_: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
