"""Port's mapping: its entries by kind, and the entities that its JQ makes of raw items.

`resources` and `entry` are pure: they read the config. `programs` and `evaluate` run in a child
process (`worker`), as the `jq` package blocks every thread of its process while it evaluates.
`process` starts that child, and `mapper` asks it on behalf of a handler.
"""
