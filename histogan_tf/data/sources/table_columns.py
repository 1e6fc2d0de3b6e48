"""Reads a table of images, CSV or TSV, and finds the columns that hold file, label, patient and part."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import os
import re
from collections.abc import Sequence

from histogan_tf.config.text_encoding import decode_text
from histogan_tf.data.sources.layouts import part_named
from histogan_tf.errors import UserError, listing

logger = logging.getLogger("histogan_tf")

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how files of Excel begin: .xlsx and .xls
# The line by which Excel is told a table's separator.
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>\t|[^\w\s"\0])"?\s*', re.IGNORECASE)

_ROLES = ("file", "label", "group", "part")
# The usual names of columns, the likelier first; compared in small letters, with "_" for other signs.
_USUAL_NAMES = {
    "file": (
        *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "image_file"),
        *("image_name", "image_filename", "img", "img_path", "img_name", "tile", "tile_path", "patch", "patch_path"),
        *("image_id", "img_id", "name", "id"),
    ),
    "label": (
        *("label", "labels", "class", "class_name", "classname", "target", "category", "diagnosis", "tissue"),
        *("tissue_type", "tumor", "tumour", "y"),
    ),
    "group": (
        *("group", "patient", "patient_id", "patientid", "case", "case_id", "subject", "subject_id", "donor"),
        *("donor_id", "slide", "slide_id", "slide_name", "wsi", "specimen"),
    ),
    "part": ("part", "split", "set", "subset", "partition", "phase", "fold", "dataset"),
}


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """A line of the table.

    Attributes:
        line: its number in the file, from 1 on.
        file: the name of the image.
        label: its label, as it stands there; "" if it has none.
        group: its patient; "" if unknown.
        part: "train", "validation" or "test"; "" if the table has no parts.
    """

    line: int
    file: str
    label: str
    group: str = ""
    part: str = ""


def read_listed_images(path: str, columns: Sequence[str] | None = None) -> list[ListedImage]:
    """Returns the lines of a table whose first line names its columns, as Excel and other programs write it.

    Args:
        path: the file, in UTF-8 or with the mark of UTF-16 or UTF-32. Its columns are separated by tabs, semicolons or
            commas, whichever the line of their names has most of, or as a line before it, such as sep=; says.
        columns: the names of the columns of file, label, patient and part, in this order; an empty name, or one that is
            left out at the end, stands for none. None to look for the usual names.

    Raises:
        UserError: if the file cannot be read, has no such columns or no lines, or a part is none that is known.
    """
    try:
        file = io.StringIO(_read_text(path), newline="")
        header, line_of_header = file.readline(), 1
        delimiter = max("\t;,", key=header.count)
        if told := _SEPARATOR_LINE.fullmatch(header):
            header, line_of_header, delimiter = file.readline(), 2, told["separator"]
        names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        lines = [(rows.line_num + line_of_header, row) for row in rows if any(cell.strip() for cell in row)]
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV or TSV: {getattr(error, 'strerror', None) or error}") from error
    if any("\0" in cell for _, row in lines for cell in row):
        raise UserError(f"{path} cannot be read as CSV or TSV: it holds zero bytes, as a file of which a part was lost")
    names = [name.strip() for name in names]
    places = _find_columns(path, names, columns)
    needed = max(places.values())
    listed = []
    for line, row in lines:
        if len(row) <= needed:
            raise UserError(f"line {line} of {path} has {len(row)} columns, and its header names {len(names)}")
        listed.append(ListedImage(line, **{role: row[place].strip() for role, place in places.items()}))
    if not listed:
        raise UserError(f"{path} names no image: it needs a line for each, below the names of its columns")
    return _with_known_parts(path, listed, names, places, is_given=columns is not None)


def _read_text(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(_WORKBOOKS):
        raise UserError(f'{path} is an Excel workbook: save it as "CSV UTF-8"')
    try:
        return decode_text(content)
    except ValueError as error:
        raise UserError(f'{path} {error}: in Excel, save it as "CSV UTF-8"') from error


def _find_columns(path: str, names: Sequence[str], columns: Sequence[str] | None) -> dict[str, int]:
    if columns is not None:
        given = f"--csv_columns={','.join(columns)}"
        if not 2 <= len(columns) <= len(_ROLES) or not all(columns[:2]):
            raise UserError(f"{given}: name the columns of file and label and, if there are, of patient and part")
        if unknown := [column for column in columns if column and column not in names]:
            raise UserError(f"{given}: {path} has no column {listing(unknown)}; it has {listing(names, most=20)}")
        return {role: names.index(column) for role, column in zip(_ROLES, columns, strict=False) if column}
    places, plain = {}, ["_".join(name.casefold().replace("-", " ").replace(".", " ").split()) for name in names]
    for role in _ROLES:
        place = next((plain.index(name) for name in _USUAL_NAMES[role] if name in plain), None)
        if place is not None and place not in places.values():
            places[role] = place
    if missing := [role for role in ("file", "label") if role not in places]:
        raise UserError(
            f"{path} has no column that is known to hold the {missing[0]} of an image; it has "
            f"{listing(names, most=20)}: name the columns with --csv_columns=FILE,LABEL"
        )
    shown = ", ".join(f"{role} = {names[place]}" for role, place in places.items())
    logger.info("columns of %s: %s; --csv_columns chooses others", os.path.basename(path), shown)
    return places


def _with_known_parts(
    path: str, listed: list[ListedImage], names: Sequence[str], places: dict[str, int], *, is_given: bool
) -> list[ListedImage]:
    """Returns the lines with their parts as the program calls them; without, if the column was guessed wrongly."""
    if "part" not in places:
        return listed
    column, known = names[places["part"]], {image.part: part_named(image.part) for image in listed}
    unknown = sorted(part for part, name in known.items() if name is None)
    if not unknown:
        return [dataclasses.replace(image, part=known[image.part]) for image in listed]
    words = (
        f"the column {column} of {path} holds {listing(map(repr, unknown), most=4)}, and parts are train, val and test"
    )
    if is_given:
        raise UserError(f"{words}: leave it out of --csv_columns")
    # Where some lines name a part, and others none or another one, the user may have meant a split.
    level = logging.WARNING if any(known.values()) else logging.INFO
    logger.log(level, "%s: it is not taken for the parts of a split", words)
    return [dataclasses.replace(image, part="") for image in listed]
