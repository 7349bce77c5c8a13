"""Conversations: memory, prompts, streaming."""
