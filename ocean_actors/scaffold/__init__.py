"""`ocean-actors new`: a folder with an integration that runs, tests and type-checks."""
