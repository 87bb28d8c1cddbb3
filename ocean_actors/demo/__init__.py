"""`ocean-actors demo`: an integration of real data against the sandbox, in under 20 s."""
