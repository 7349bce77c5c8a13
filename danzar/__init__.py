"""Danzar."""
