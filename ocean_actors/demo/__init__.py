"""`ocean-actors demo`: runs an integration with real data against the sandbox, in under 20 s."""
