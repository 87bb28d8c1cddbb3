"""Several integrations in one process: their settings, their servers, and how they end."""
