"""Files that are whole or not there, whatever stops the writing."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from heatmaps.whole_files import whole_file


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
        unfinished.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["table.csv"]
    # readable by others, as any file is that is opened for writing
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError()])
def test_what_was_there_stays_where_the_writing_fails(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise error

    if isinstance(error, OSError):
        message = f"{path} cannot be written: No space left on device"
        with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
            write()
    else:
        with pytest.raises(KeyError):
            write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in [
        (tmp_path / "file" / "table.csv", "(Not a directory|File exists)"),
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path, "Is a directory"),
    ]:
        with (
            pytest.raises(OSError, match=f"^{re.escape(str(path))} cannot be written: {reason}$"),
            whole_file(path) as unfinished,
        ):
            unfinished.write_text("text")
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".csv")
    with whole_file(path) as unfinished:
        unfinished.write_text("text")
    assert path.read_text() == "text"


def test_links_stay_links_and_pipes_pipes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with whole_file(tmp_path / "link") as unfinished:
        unfinished.write_text("text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "text"
    with whole_file("/dev/null") as unfinished:
        unfinished.write_text("text")
    assert Path("/dev/null").is_char_device()
