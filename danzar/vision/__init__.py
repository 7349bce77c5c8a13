"""From pictures and sources of frames to typed observations, alerts and answers."""
