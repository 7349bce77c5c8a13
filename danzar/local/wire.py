"""What crosses the wire."""

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Decoded JSON whose shape only its reader knows."""
