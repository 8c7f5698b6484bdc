"""The file of allowed documents: what it may hold, and how each fault of it is told."""

import hashlib
import json
from pathlib import Path

import pytest

from domain.base.allowed_documents import allowed_documents
from domain.base.settings import SettingsError, load

ME, TASKS = "{ me { id } }", "query Tasks { tasks { nodes { id } } }"
HASH_OF_ME, HASH_OF_TASKS = (hashlib.sha256(text.encode()).hexdigest() for text in (ME, TASKS))


def test_documents_are_found_by_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({f"sha256:{HASH_OF_ME.upper()}": ME, HASH_OF_TASKS: TASKS, "web/me:1": ME}))

    assert allowed_documents(file) == {f"sha256:{HASH_OF_ME}": ME, f"sha256:{HASH_OF_TASKS}": TASKS, "web/me:1": ME}


def test_a_file_may_be_empty_of_documents(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text("{}")

    assert allowed_documents(file) == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is not JSON in UTF-8"),
        (b'{"a": ', "is not JSON in UTF-8"),
        (b'{"a": "\xff"}', "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON in UTF-8"),
        (b"[]", "has to be a JSON object of id and document"),
        (b"null", "has to be a JSON object of id and document"),
        (b'[["a", "{ me { id } }"]]', "has to be a JSON object of id and document"),
        (b'{"": "{ me { id } }"}', "holds an empty id"),
        (b'{"a": null}', "holds no document under 'a'"),
        (b'{"a": {"b": "{ me { id } }"}}', "holds no document under 'a'"),
        (b'{"a": " "}', "holds no document under 'a'"),
        (b'{"a": "\\ud800"}', "holds half a character under 'a'"),
        (b'{"a": "{ me { id } }", "a": "{ me { name } }"}', "holds 'a' twice"),
        (b'{"sha256:abc": "{ me { id } }"}', "holds 'sha256:abc', which has to be sha256: and 64 hexadecimal digits"),
        (
            json.dumps({f"sha256:{HASH_OF_TASKS}": ME}).encode(),
            f"holds a document under 'sha256:{HASH_OF_TASKS}' whose hash is {HASH_OF_ME}",
        ),
        (
            json.dumps({HASH_OF_TASKS: ME}).encode(),
            f"holds a document under '{HASH_OF_TASKS}' whose hash is {HASH_OF_ME}",
        ),
        (json.dumps({HASH_OF_ME: ME, f"sha256:{HASH_OF_ME}": ME}).encode(), f"holds 'sha256:{HASH_OF_ME}' twice"),
    ],
)
def test_a_bad_file_stops_the_start_with_one_line(content: bytes, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_bytes(content)

    with pytest.raises(SettingsError) as raised:
        load({"DOCUMENTS": "persisted", "DOCUMENTS_FILE": str(file)}, data_dir=tmp_path / "data")

    assert str(raised.value) == f"DOCUMENTS_FILE: {file} {fault}"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_no_file_of_documents(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load({"DOCUMENTS_FILE": str(tmp_path)}, data_dir=tmp_path / "data")

    assert str(raised.value) == f"DOCUMENTS_FILE: {tmp_path} cannot be read: Is a directory"
