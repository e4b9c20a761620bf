"""Hostile command lines: what has to be refused."""

from torture._hostile_names import REFUSED

FOX = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"


def fetch(sha1=FOX, name="fox.txt", size="43", *hosts):
    return ("fetch", sha1, name, size, *hosts)


def wrong_lines():
    """Command lines that have to be refused."""
    for sha1 in (
        "../../x", "/etc/passwd", FOX[1:], FOX + "0", FOX[:-1] + "g", "", " " + FOX[1:], FOX + " ", FOX[:20] + "/" + FOX[21:], "0x" + FOX[2:],
        FOX[:-1] + "\u0661", FOX[:-2] + "é", "-" + FOX[1:], "+" + FOX[1:], FOX + ":attrs", "../" + FOX, FOX + "\n", b"\xff" * 40, "x" * 100_000,
    ):
        # After the word, or in its place: a front end leaves it out.
        yield fetch(sha1)
        yield (sha1, "fox.txt", "43")
    for size in (
        "-1", "1e9", "NaN", "inf", "Infinity", "9007199254740992", "9007199254740991", "3518438047745", "18446744073709551615", "18446744073709551616", "1" * 1000, "+1", "0x10",
        "", " ", " 43", "43 ", "4 3", "43.0", "43,0", "1_000", "43B", "4K", "-0", "٤٣", "４３", "null", "--help", "43\n", "99999999999999999999",
        "0b1", "1e400", "²", b"\xff",
    ):
        yield fetch(size=size)
    for host in (
        "255.255.255.255", "0.0.0.0", "224.0.0.1", "239.1.2.3", "::", "ff02::1%lo", "ff02::1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:",
        "127.0.0.1:-1", "127.0.0.1:x", ":27183", "[::1]:0", "[::1]:70000", "[::1", "::1]", "[127.0.0.1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4",
        "0x7f.1", "2130706433", "1.2.3.4/24", "fe80::1%", "fe80::1%no-such-interface", "1.2.3.4%lo",
        "localhost", "example.org", "http://1.2.3.4", "1.2.3.4 5.6.7.8", "1.2.3.4,5.6.7.8", "", " ", "../x", "$(id)", "::ffff:0.0.0.0",
        "::ffff:255.255.255.255", "::ffff:224.0.0.1", "%lo", "[fe80::1%lo", "12345::1", ":::", "1:2:3:4:5:6:7:8:9", "--no-such-option", "-Z",
        b"\xff\xfe", "1.2.3.4\n", "\x1b[2J", "\u202e1.2.3.4", "１.2.3.4", "1.2.3.4:٨٠",
    ):
        yield fetch(FOX, "fox.txt", "43", host)
        yield fetch(FOX, "fox.txt", "43", "127.0.0.9", host)
    yield fetch(FOX, "fox.txt", "43", *[f"10.{n // 250}.{n % 250}.1" for n in range(1000)], "10.0.0.256")
    yield ("fetch",)
    yield ("fetch", FOX)
    yield ("fetch", FOX, "fox.txt")
    yield (FOX,)
    yield (FOX, "fox.txt")
    yield from options_that_are_wrong()
    yield from verbs_that_are_wrong()


def options_that_are_wrong():
    """Values that options cannot have, and options that there are none of."""
    for words in (
        ("--port", "0"), ("--port", "65536"), ("--port", "-1"), ("--port", "x"), ("--port", ""), ("--port", "1e3"), ("--port", "+1"),
        ("--port", " 1"), ("--port=",), ("--port",), ("--bind", "nowhere"), ("--bind", ""), ("--bind", "255.255.255.255"), ("--bind", "224.0.0.1"),
        ("--bind", "1.2.3.4:x"), ("--peer", "127.0.0.1:99999"), ("--peer", "0.0.0.0"), ("--peer", "-x"), ("--peer", "a b/c"), ("--peer", "x/y"),
        ("--peer", "\x1b[2J"), ("--peer", "." * 300), ("--peer", "1.2.3"), ("--tracker", "255.255.255.255"), ("--tracker", "x:0"), ("--limit", "0"),
        ("--limit", "-1"), ("--limit", "1e9"), ("--limit", "x"), ("--limit", "999999999999999999999"), ("--limit", "1KK"),
        ("--limit", "18446744073709551615G"), ("--root",), ("--root", ""), ("--trace-ring", "0"), ("--trace-ring", "-1"), ("--trace-ring", "1"),
        ("--trace-ring", "99999999999G"), ("--no-such-option",), ("--help=x",), ("-Z",), ("---",), ("--=x",), ("-\xe9",), (b"-\xff",), (b"--\xff=1",),
        ("--verbose=3",), ("-qv",),
    ):
        yield (*words, "peer")
    for value in ("-1", "x", "", "1e9999", "NaN", "inf", "99999999999999999999999", "+1", " 1", "0x1", "1:00"):
        yield ("--timeout", value, *fetch())
        yield ("--timeout", value, "ls")
    for value in ("0", "-1", "x", "99999", "1.5", ""):
        yield ("--jobs", value, "get", "x")


def verbs_that_are_wrong():
    """Verbs with words that they do not take, and what is none."""
    yield ()
    for word in ("no-such-command", "PEER", "Peer", "peer ", " peer", "", "../peer", "\x1b[2J", "\u202ereep", b"\xff", "x" * 100_000, "help", "d.json"):
        yield (word,)
    for verb in ("peer", "peers", "doctor", "tracker"):
        yield (verb, "superfluous")
        yield (verb, "")
        yield (verb, b"\xff")
    for verb in ("info", "loc", "get"):
        yield (verb,)
        yield (verb, "")
        yield (verb, b"a\xff")
    for words in (
        ("info", "a", "b"), ("loc", "a", "b"), ("ls", "a", "b"), ("ls", ""), ("ls", b"\xff"), ("get", "a", ""), ("get", "-o", "", "a"), ("get", "-o"),
        ("get", "--json", "-o", "-", "a"), ("get", "--json", "--output=-", "a"), ("add",), ("add", ""), ("add", "x", ""), ("rm",), ("rm", ""), ("rm", "x", ""),
        ("rm", "..", "x"), ("rm", "x", "../y"), ("replay",), ("replay", "a", "b"), ("replay", ""), ("peer", "--timeout", "1"), ("peer", "--jobs", "2"),
        ("ls", "--force"), ("peer", "--force"), ("peer", "-o", "x"), ("tracker", "--sync"), ("tracker", "--peer", "127.0.0.9"),
        ("fetch", "--sync", FOX, "x", "43"), ("replay", "--until", "x", "a"), ("replay", "--until", "-1", "a"), ("peer", "--include", "x", "--exclude"),
        ("peer", "--max-size", "x", "--sync"), ("peer", "--max-size", "-1", "--sync"), ("fetch", "--json", FOX, "x", "43"), ("peer", "--json"),
    ):
        yield words
    for name in REFUSED:
        if b"\0" not in name:
            yield fetch(FOX, name)
            yield ("rm", "--", name)
