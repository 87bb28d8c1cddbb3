"""A sharded handler: processes compute the checksums of files, folder by folder."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from ocean_actors import OceanSystem, ResyncRun, Settings, Shard, ShardedHandler

FILE = {
    "identifier": "file",
    "title": "File",
    "schema": {
        "properties": {
            "size": {"type": "number", "title": "Size in bytes"},
            "sha256": {"type": "string", "title": "SHA-256"},
        }
    },
}


class Checksums(ShardedHandler):
    """Sends every file below the folder of the settings; each folder in it is a shard."""

    kinds = ("file",)
    blueprints = FILE

    def shards(self, run: ResyncRun) -> list[str]:
        root = Path(run.settings.integration.config["folder"])
        return sorted(each.name for each in root.iterdir() if each.is_dir())

    def resync_shard(self, shard: Shard) -> Iterator[tuple[str, dict[str, object]]]:
        root = Path(shard.settings.integration.config["folder"])
        files = sorted(each for each in (root / shard.value).rglob("*") if each.is_file())
        for number, file in enumerate(files):
            shard.progress(number, len(files))
            data = file.read_bytes()
            yield (
                "file",
                {
                    "identifier": file.relative_to(root).as_posix(),
                    "title": file.name,
                    "properties": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()},
                },
            )


if __name__ == "__main__":
    settings = Settings.from_dict(
        {
            "integration": {"identifier": "checksums", "config": {"folder": sys.argv[1]}},
            "resync": {"executor": "processes", "workers": 2},
            "eventListener": {"type": "ONCE"},
        }
    )
    with OceanSystem(settings, [Checksums]) as system:
        system.wait()
    sys.exit(system.exit_code)
