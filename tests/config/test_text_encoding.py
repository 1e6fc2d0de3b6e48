import codecs

import pytest

from histogan_tf.config.text_encoding import decode_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_the_mark_of_its_encoding_or_in_utf_8(encoding):
    assert decode_text("für\r\n乳腺\n".encode(encoding)) == "für\r\n乳腺\n"


def test_text_whose_first_byte_is_the_highest():
    assert decode_text(codecs.BOM_UTF16_BE + "ö".encode("utf-16-be")) == "ö"
    assert decode_text(codecs.BOM_UTF32_BE + "ö".encode("utf-32-be")) == "ö"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_the_line_that_is_not_in_utf_8_is_named(mark):
    with pytest.raises(ValueError, match=r"^is not in UTF-8 \(line 3\)$"):
        decode_text(mark + b"\n\n\xf6")
