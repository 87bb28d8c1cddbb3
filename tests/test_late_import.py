"""Packages that requests imports at once, and that we import when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ocean_actors.late_import import import_late

UNREAD = (
    "import sys\nimport ocean_actors, requests\n"
    "assert 'charset_normalizer.api' not in sys.modules\n"
)


def run(code: str) -> None:
    """Run `code` in an interpreter of its own, which must print no warning."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "code",
    [
        (
            "from charset_normalizer import from_bytes\n"
            "assert str(from_bytes('é'.encode()).best()) == 'é'"
        ),
        "import charset_normalizer as c\nassert c.detect(b'abc')['encoding'] == 'ascii'",
        "import charset_normalizer.api as api\nassert api.from_bytes(b'abc').best()",
        (
            "import charset_normalizer as first\nfirst.detect\n"
            "import charset_normalizer as second\n"
            "assert second is not first and second.detect is first.detect"
        ),
        (
            "import charset_normalizer\nfrom importlib.metadata import version\n"
            "assert charset_normalizer.__version__ == version('charset_normalizer')"
        ),
    ],
)
def test_a_package_that_is_imported_late_can_be_used_in_every_way(code: str) -> None:
    run(UNREAD + code)


def test_the_encoding_of_an_answer_without_charset_is_guessed_as_by_requests() -> None:
    run(
        UNREAD + "import io\n"
        "answer = requests.Response()\n"
        "answer.raw = io.BytesIO('Größe, Übung, Straße und Äpfel'.encode('utf-16'))\n"
        "assert answer.apparent_encoding == 'UTF-16', answer.apparent_encoding\n"
        "assert 'Übung' in answer.text"
    )


def test_a_package_that_is_imported_already_stays_as_it_is() -> None:
    run(
        "import sys, charset_normalizer\nimport ocean_actors\n"
        "assert sys.modules['charset_normalizer'] is charset_normalizer\n"
        "assert type(charset_normalizer) is type(sys)"
    )


def test_a_package_that_is_not_installed_is_missing_as_before() -> None:
    import_late("no_such_package", needed_by="nobody")
    assert "no_such_package" not in sys.modules
