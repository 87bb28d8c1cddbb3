"""Port's HTTP API: the client, and the actors that speak through it."""
