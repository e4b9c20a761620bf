"""Names that strangers could give, and what has to become of each: `REFUSED` ones are no names anywhere, `UNOFFERED` ones may be
kept (`fetch` takes them) and are never offered nor believed to be, `TAKEN` ones look odd and are good names.

The rule is the contract's: nothing that leaves `share/`, nothing that drives a terminal. What is odd on other systems only
(`CON`, `a:b`, a blank at the end) is a good name here, and so is everything that people write in.
"""


def text(*names):
    return [name.encode("utf-8") for name in names]


# Ways out, and what is nearly one.
LEAVING = text(
    "", ".", "..", "/", "//", "./", "../", "../x", "../../x", "../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd",
    "a/..", "a/../b", "a/../../b", "a/b/../../../c", "a/.", "a/./b", "./a", "./../a", "a//b", "a/", "a//", "/a/", "a/b//",
    "../share/x", "../chunks/x", "../d.json", "../.sprat/hashes", "../../proc/self/environ", "/dev/null", "/proc/self/mem",
    "~/../x", "share/../../x", "..//x", "...//x", "a/...//b", "/..", "/.", "../", "x/../", "/tmp/sprat-torture-escape",
)
BACKSLASHES = text(
    "\\", "..\\x", "a\\b", "a\\..\\..\\b", "C:\\x", "\\\\host\\share\\x", "..\\../x", "a/..\\b", "\\\\?\\C:\\x", "x\\", "\\..",
    "a/b\\c", "a\\/b",
)
# Controls: all of C0, DEL, all of C1 as UTF-8, and what terminals make of them.
CONTROLS = [b"a%cb" % number for number in range(0x20)] + [b"a\x7fb"] + text(*[f"a{chr(number)}b" for number in range(0x80, 0xA0)])
TERMINAL = text(
    "\x1b[2J", "a\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link", "\x1b]52;c;cm0gLXJm\x07", "\x1bP1$qm\x1b\\",
    "\x1bc", "a\x1b[1A\x1b[2Kb", "\x1b[6n", "\x1b[?1049h", "\x9b31m", "\x9d0;title\x9c", "\x90q\x9c", "a\rb", "a\r\nb", "a\nb",
    "\nx", "x\n", "a\tb", "\x08\x08\x08x", "a\x0bb", "a\x0cb", "\x0e", "a\x1b", "\x00", "x\x00", "\x00x", "x.txt\x00.exe",
    "a/b\x00/c", "a\x1b/b", "\x1b/\x1b",
)
DIRECTIONS = text(
    *[f"a{chr(number)}b" for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)],
    "photo\u202egpj.exe", "\u202e", "a/\u2067b", "\u202dx/y", "x\u2066", "\u200f",
)
LINES = text("a\u2028b", "a\u2029b", "\u2028", "x\u2029", "a/\u2028/b", "a\x85b")
NONCHARACTERS = text(*[f"a{chr(number)}b" for number in (0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0x10FFFF)])
INVISIBLE = text(
    "a\u200bb", "a\u2060b", "a\ufeffb", "\ufeffx", "a\u00adb", "a\u2062b", "a\u206ab", "a\ufff9b", "a\ufffbb", "a\U000e0041b",
    "a\U000e0001b", "\u200b",
)
NO_TEXT = [
    b"a\xff", b"\xff", b"\xfe\xff", b"\xc0\xaf", b"\xc0\xae\xc0\xae/x", b"\xc0\xae\xc0\xae\xc0\xafx", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80", b"\xed\xbf\xbf", b"a\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\x80", b"a\xc3",
    b"a\xe2\x82", b"a\xe2\x82/b", b"\x9b31m", b"a\xe9.txt", b"\xc0\x80", b"x/\xc0\xae\xc0\xae/y",
]
LONG = [
    b"x" * 256, b"d/" + b"x" * 256, b"x" * 256 + b"/y", "é".encode() * 128, b"x" * 1024,
    b"/".join([b"d"] * 33), b"/".join([b"d"] * 200), b"d/" * 33 + b"x",
]

REFUSED = [
    *LEAVING, *BACKSLASHES, *CONTROLS, *TERMINAL, *DIRECTIONS, *LINES, *NONCHARACTERS, *INVISIBLE, *NO_TEXT, *LONG,
]
# Longer than any name may be on the wire: a listing with one of them is none.
TOO_LONG_FOR_A_LISTING = [b"x" * 1025, b"/".join([b"x" * 255] * 4) + b"/yy", b"/".join([b"x" * 200] * 6), b"y" * 100_000]

UNOFFERED = text(
    ".hidden", ".sprat", ".ssh/authorized_keys", "a/.hidden", ".a/b", "..x", "..../x", "..%2fx", "x.part", "X.PART", "a/x.crdownload", "x.tmp",
    "x.lefting", "x~", "~", ".sprat-1", ".part", "...", ".bashrc", ".git/hooks/post-checkout",
)

TAKEN = [
    # What looks like something else.
    *text(
        "-rf", "--help", "-", "--", "-o", "--root=x", "-v", "--version", "d.json", "e.json", "chunks", "share/x",
        "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12:attrs",
        "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12:chunk:0", "peer", "fetch", "*", "**", "?", "[a-z]", "a*b", "{a,b}", "!", "!!",
        "y.part/y", "http:", "file:x", "%2e%2e%2fx", "%00", "%2e%2e/x", "&#46;&#46;/x", "~root/x",
    ),
    # What shells, HTML, JSON, SQL, printf and spreadsheets make something of.
    *text(
        "$(touch escaped)", "`touch escaped`", "; touch escaped", "| touch escaped", "& touch escaped", "a'b", 'a"b', "'; DROP TABLE x",
        "$HOME", "${IFS}", "a b", " a", "a ", "  ", "a.", "a...", "=1+1", "@x", "+x", "%s%n%x", "%d", "{}", "{0}", "\"}]}", "\",\"x\":\"",
        "</script><script>alert(1)", "<img src=x onerror=alert(1)>", "<!--", "]]>", "&lt;", "&amp;", "a&b", "<b>", "{{7*7}}", "#{x}",
        "a:b", "a|b", "a>b", "a<b", "a?b", "a*", "a;b", "a,b", "null", "true", "NaN", "0", "-1", "u0000", "\u00a0",
    ),
    # What other systems keep for themselves.
    *text(
        "CON", "con.txt", "NUL", "PRN", "AUX.c", "COM1", "COM9.x", "COM¹", "LPT³.txt", "CONIN$", "CLOCK$", "x::$DATA", "desktop.ini",
        "Thumbs.db", "x.", "x .", "aux/x",
    ),
    # Looks like a separator, and is none.
    *text("a\u2215b", "a\u2044b", "a\u29f8b", "a\uff0fb", "\u2024\u2024\u2215x", "\uff0e\uff0e\uff0fx", "a\u29f5b", "a\uff3cb", "a\u2236b", "\u2025/x"),
    # What people write in: Hebrew, Arabic, Persian with its joiner, Hindi, Thai, Chinese, emoji of several.
    *text(
        "שלום.txt", "مرحبا.txt", "می\u200cخواهم", "क्\u200dष", "สวัสดี", "日本語.txt", "葛\U000e0100城", "👩\u200d🚀.png", "❤\ufe0f", "🏳\ufe0f\u200d🌈", "Ünï/çødé",
        "e\u0301.txt", "\u00e9.txt", "ﬁ", "İ", "ß", "ſ", "\u1e9e", "Ａ", "\u3164", "𝔘", "\U0010fffd", "\ue000", "z" + "\u0301" * 120,
    ),
    # As long and as deep as may be.
    b"l" * 255, ("é" * 127).encode(), b"/".join([b"d"] * 31 + [b"deep"]), b"/".join([b"m" * 255] * 3 + [b"m" * 200]),
]


def unique(names):
    return list(dict.fromkeys(names))


REFUSED, UNOFFERED, TAKEN = unique(REFUSED), unique(UNOFFERED), unique(TAKEN)
EVERY = REFUSED + UNOFFERED + TAKEN
assert len(EVERY) == len(set(EVERY)) >= 200, len(EVERY)
