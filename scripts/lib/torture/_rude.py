"""What must never reach a terminal or `d.json` raw: a list of its own, not the program's."""

import unicodedata


def is_rude(character):
    """Whether a character controls something, turns text around, ends a line, or is none at all."""
    number = ord(character)
    if character == "\n":
        return False
    if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return True
    if unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
        return True
    if number in (0x200E, 0x200F, 0x061C):
        return True
    return number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF


def rude_in(raw):
    """The rude characters in some bytes, and what of them is no text at all."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"not UTF-8 at {error.start}: {raw[max(0, error.start - 20) : error.start + 20]!r}"]
    return [f"U+{ord(c):04X} at {at}: {text[max(0, at - 20) : at + 20]!a}" for at, c in enumerate(text) if is_rude(c)]
