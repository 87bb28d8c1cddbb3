"""The instructions of the Dockerfile, run without Docker: in folders instead of an image."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
from pathlib import Path

import pytest

from ocean_actors.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "examples" / "docker" / "Dockerfile"
SOURCES = ("ocean_actors", "README.md", "LICENSE", "setup.cfg", "setup.py", "pyproject.toml")
WITHIN = 60.0


def instructions() -> list[tuple[str, str]]:
    lines = DOCKERFILE.read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, rest in pairs]


def of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image would hold, below a folder."""
    root = tmp_path_factory.mktemp("an image")  # the first line of a script cannot hold a space
    root.chmod(0o755)
    for folder in root.parents:  # another user is to reach it
        if folder.stat().st_uid == os.getuid() and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o055)
    (root / "src").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / "src" / name)
    for line in of("RUN"):
        words = [str(root) + word if word.startswith("/") else word for word in shlex.split(line)]
        if words[0] == "python":  # dependencies, pip and setuptools are those of this environment
            words = [sys.executable, *words[1:], "--without-pip"]
        if "install" in words:
            words[0] = str(Path(words[0]).with_name("python"))
            words[1:2] = ["-m", "pip", "install", "--no-deps", "--no-build-isolation"]
            words.append("--disable-pip-version-check")
        subprocess.run(words, check=True, timeout=WITHIN, capture_output=True)
        for packages in (root / "opt" / "integration" / "lib").glob("*/site-packages"):
            (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    for line in of("COPY"):
        source, target = line.split()[-2:]
        if target.startswith("/app"):
            (root / "app").mkdir(exist_ok=True)
            shutil.copy(ROOT / source, root / target.lstrip("/"))
    return root


def is_reachable(file: Path) -> bool:
    """Whether other users may execute it: pyenv's Pythons are often in a private home."""
    return all(place.stat().st_mode & 0o001 for place in (file, *file.parents))


def test_it_is_built_from_what_the_repository_has() -> None:
    for line in of("COPY"):
        source = line.split()[-2]
        assert source.startswith("/opt/") or (ROOT / source).exists()
    assert of("USER") == ["10001:10001"]


def test_the_image_runs_an_integration_as_another_user_without_a_home_or_temporary_folder(
    image: Path,
) -> None:
    entry: list[str] = json.loads(of("ENTRYPOINT")[0])
    program = image / "opt" / "integration" / "bin" / entry[0]
    with Sandbox() as sandbox:
        environment = {
            "OCEAN__PORT__CLIENT_ID": sandbox.client_id,
            "OCEAN__PORT__CLIENT_SECRET": sandbox.client_secret,
            "OCEAN__PORT__BASE_URL": sandbox.url,
            "OCEAN__INTEGRATION__IDENTIFIER": "packages",
            "OCEAN__HTTP__PORT": "0",
            "OCEAN__CONTROL__PORT": "0",
            "HOME": "/nonexistent",
            "TMPDIR": "/nonexistent",
            "PATH": f"{program.parent}:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        user = 10001 if os.getuid() == 0 and is_reachable(Path(sys.executable).resolve()) else None
        before = sorted(image.rglob("*"))
        process = subprocess.Popen(
            [str(program), *entry[1:]], cwd=image / "app", env=environment, user=user,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            sandbox.wait_for(lambda: "completed" in sandbox.statuses("packages"), WITHIN)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=WITHIN)
        finally:
            process.kill()
    assert process.returncode == 0, output
    assert sorted(image.rglob("*")) == before  # it writes nothing, as its file system is read-only
    assert "Traceback" not in output
