"""Port's mapping: its entries by kind, and the entities that its JQ makes of raw items.

`entry` is pure: it reads an entry of the config. `programs` and `evaluate` run in a child
process (`worker`), as the `jq` package blocks every thread of its process while it evaluates.
`process` starts that child, and `resources` asks it on behalf of a handler.
"""
