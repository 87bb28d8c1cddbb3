"""Live events: what the third-party system sends, from POST /live/<path> to entities in Port."""
