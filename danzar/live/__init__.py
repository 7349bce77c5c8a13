"""Settings that change while Danzar runs."""
