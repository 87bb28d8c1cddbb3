"""Live events: what the third system sends, from POST /live/<path> to entities in Port."""
