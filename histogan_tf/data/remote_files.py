"""Fetches files from public addresses: goes on where an earlier try stopped, and checks the publisher's checksum."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from histogan_tf.errors import UserError
from histogan_tf.machine.progress import Progress
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

UNFINISHED = ".downloading-"  # prefix of the name of a file or folder that is not complete, beside its final place
_PIECE_BYTES = 2**20
_MEGABYTE = 10**6
_WAIT_SECONDS = 60.0
_PARTIAL, _NOTHING_LEFT = 206, 416  # the server's answers to a request for the rest of a file


class BrokenDownloadError(Exception):
    """Raised if a file could not be fetched completely; another try goes on where this one stopped."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file at a public address.

    Attributes:
        url: its address, which ends with its name.
        md5: the MD5 checksums that its publisher gives, of which one has to fit.
        lands_as: the name of the file or folder that it becomes.
        unpack: a function of the path of the fetched file and of the path to write, which unpacks it completely or not
            at all; None if the file is kept as it is.
    """

    url: str
    md5: tuple[str, ...]
    lands_as: str
    unpack: Callable[[str, str], None] | None = None

    @property
    def name(self) -> str:
        """The file's name at its address."""
        return self.url.rpartition("/")[2]


def fetch(remote: RemoteFile, folder: Path) -> None:
    """Fetches a file into a folder, unless what it becomes is there already, and unpacks it.

    Where the file itself lies in the folder, because a user has fetched it, it is unpacked and stays.

    Args:
        remote: the file.
        folder: an existing folder.

    Raises:
        BrokenDownloadError: if the address cannot be reached, or the connection breaks.
        UserError: if what was fetched has another checksum; it is removed.
        OSError: if it cannot be written.
    """
    target, given = folder / remote.lands_as, folder / remote.name
    if target.exists():
        return
    if given.exists() and remote.unpack is not None:
        logger.info("unpacking %s", given)
        remote.unpack(str(given), str(target))
        return
    unfinished = folder / f"{UNFINISHED}{remote.name}"
    logger.info("downloading %s", remote.url)
    _continue(remote.url, unfinished)
    found = _md5_of(unfinished)
    if found not in remote.md5:
        unfinished.unlink()
        raise UserError(
            f"{remote.url} was fetched and has the MD5 checksum {found}, but its publisher gives "
            f"{' or '.join(remote.md5)}: it was damaged on its way, and was removed; give the command again"
        )
    if remote.unpack is None:
        os.replace(unfinished, target)
        return
    remote.unpack(str(unfinished), str(target))
    files.remove(unfinished)


def _continue(url: str, path: Path) -> None:
    """Fetches what is missing of a file."""
    present = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        with urllib.request.urlopen(request, timeout=_WAIT_SECONDS) as response:
            present = present if response.status == _PARTIAL else 0
            length = response.headers.get("Content-Length")
            total = None if length is None else present + int(length)
            with files.errors_named(path), path.open("ab" if present else "wb") as file:
                received = _copy(_pieces(response, url), file.write, present, total)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT:  # an earlier try had fetched all of it
            return
        raise BrokenDownloadError(f"{url}: {error}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _broken(url, error) from error
    if total is not None and received < total:
        raise BrokenDownloadError(f"{url}: the connection broke after {received} of {total} bytes")


def _broken(url: str, error: Exception) -> BrokenDownloadError:
    return BrokenDownloadError(f"{url}: {getattr(error, 'reason', None) or str(error) or type(error).__name__}")


def _pieces(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    """Yields what the server sends, so that an error of the network is not taken for one of the disk.

    Raises:
        BrokenDownloadError: if the connection breaks.
    """
    try:
        while piece := response.read(_PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise _broken(url, error) from error


def _copy(pieces: Iterable[bytes], write: Callable[[bytes], object], present: int, total: int | None) -> int:
    """Writes the pieces of a file, and returns how many bytes there are now, those of earlier tries included."""
    with Progress((total or present) // _MEGABYTE, present // _MEGABYTE, "MB") as progress:
        for piece in pieces:
            write(piece)
            present += len(piece)
            progress.update(present // _MEGABYTE)
    return present


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
