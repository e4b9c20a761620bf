"""What the trace scripts share: finding the program, having it print a trace, and reading what it prints.

The schema is that of `sprat replay --print=json` (docs/trace.md): a JSON object a line. Nothing here
or above knows the trace's own format, so that it can change without any script noticing.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# What a line can be about; the key that is there says it.
SUBJECTS = ("input", "output", "source", "fetch", "host", "deadline", "checkpoint", "header", "end")
# A trace of format 1 begins so, and so does what is printed of it.
TRACE_START = '{"sprat_trace"'
# Exit codes: as the program's own.
FAILED, MISUSED = 1, 2


class Trouble(Exception):
    """One sentence for a person: what is wrong, and what to do."""

    def __init__(self, sentence, code=FAILED):
        super().__init__(sentence)
        self.code = code


class Event:
    """One line: `subject` (see SUBJECTS), for inputs and outputs their `kind`, and all `fields`."""

    __slots__ = ("n", "t", "subject", "kind", "fields")

    def __init__(self, n, t, subject, kind, fields):
        self.n, self.t, self.subject, self.kind, self.fields = n, t, subject, kind, fields


def variant(value):
    """`"whole"` is ("whole", None), `{"ours": x}` is ("ours", x)."""
    if isinstance(value, str):
        return snake(value), None
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        return snake(name), inner
    return "", value


def snake(name):
    """`StoreOpened` is store_opened; what is so already stays."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def event_of(line):
    """The event of a line, which is a dictionary; None where it is none that these scripts know."""
    for subject in SUBJECTS:
        if subject in line:
            break
    else:
        return None
    body, kind = line[subject], None
    if subject in ("input", "output"):
        if isinstance(body, str):
            kind, body = body, line
        elif isinstance(body, dict) and isinstance(body.get("kind"), str):
            kind = body["kind"]
        else:
            kind, inner = variant(body)
            body = inner if isinstance(inner, dict) else {"value": inner}
        kind = kind if kind.islower() else snake(kind)
    if not isinstance(body, dict):
        body = line
    return Event(line.get("n", 0), line.get("t", 0), subject, kind, body)


def find_program():
    """Where the sprat is that is to be used."""
    named = os.environ.get("SPRAT")
    if named:
        found = shutil.which(named)
        if not found:
            raise Trouble(f"SPRAT names {named}, which is no program that can be run")
        return found
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(REPOSITORY, "target")
    for build in ("release", "debug"):
        program = os.path.join(target, build, "sprat")
        if os.access(program, os.X_OK):
            return program
    found = shutil.which("sprat")
    if not found:
        raise Trouble(
            "there is no sprat to read traces with: build it with `cargo build --release` in "
            f"{REPOSITORY}, or say where it is in the variable SPRAT"
        )
    return found


def read_events(path):
    """All events of a trace, of a `.json` file with what was printed of one, or of such on `-`."""
    if path == "-":
        yield from some(parse(sys.stdin, "standard input"), "standard input is empty")
        return
    if os.path.isdir(path):
        raise Trouble(f"{path} is a folder; a trace is a file")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            start = file.read(4096)
            if is_printed(start):
                file.seek(0)
                yield from parse(file, path)
                return
    except OSError as error:
        raise Trouble(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise Trouble(f"{path} is empty")
    if not start.startswith(TRACE_START):
        raise Trouble(f"{path} is no trace of sprat")
    yield from replayed(path)


def some(events, otherwise):
    """The events, of which there must be one."""
    event = next(events, None)
    if event is None:
        raise Trouble(otherwise)
    yield event
    yield from events


def is_printed(start):
    """Whether a file is what was printed of a trace, by how it begins: each such line has a time."""
    line = start.split("\n", 1)[0]
    if line.startswith(TRACE_START):
        return False
    return re.match(r'\{.*"(header|input|output)":', line) is not None


def replayed(path):
    """The events that the program prints of a trace."""
    program = find_program()
    with tempfile.TemporaryFile() as complaints:
        # A program that was changed since is as good a witness, as long as it comes to the same end.
        command = [program, "replay", "--against", "--print=json", f"./{path}" if path.startswith("-") else path]
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise Trouble(f"cannot run {program}: {error.strerror}") from error
        came = 0
        try:
            for event in parse(process.stdout, path):
                came += 1
                yield event
            process.stdout.close()
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code == 0 and came:
            return
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace").strip().splitlines()
        said = re.sub(r"^sprat: ", "", said[0]) if said else f"{program} replay ended with {code}"
        if came < 2:
            raise Trouble(said)
        # What came until then is worth looking at; that it is not all must be known.
        warn(said)


def parse(lines, name):
    """The events of lines of JSON."""
    number, known = 0, 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            if known:
                warn(f"line {number} of {name} is damaged or cut off; what stands before it is used")
                return
            raise Trouble(f"{name} is no trace of sprat, and not what `sprat replay --print=json` prints") from None
        event = event_of(line) if isinstance(line, dict) else None
        if event is not None:
            known += 1
            yield event
        elif not known:
            raise Trouble(f"{name} is no trace of sprat, and not what `sprat replay --print=json` prints")


def stem(trace):
    """What the name of something that is made of a trace begins with."""
    if trace == "-":
        return "trace"
    name, ending = os.path.splitext(trace)
    return name if ending in (".json", ".jsonl", ".ndjson", ".trace") else trace


def warn(sentence):
    print(f"{os.path.basename(sys.argv[0])}: {printable(sentence)}", file=sys.stderr)


def parser(description, **more):
    """The arguments that all of the scripts take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **more
    )
    made.add_argument(
        "trace",
        metavar="TRACE",
        help="what --trace wrote; or a .json file of, or - for, what `sprat replay --print=json` printed of it",
    )
    return made


def run(main):
    """Runs a script to its exit code; trouble is one sentence on standard error."""
    try:
        code = main() or 0
        sys.stdout.flush()
    except Trouble as trouble:
        warn(str(trouble))
        code = trouble.code
    except BrokenPipeError:
        # Whoever read this has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        warn(f"cannot go on: {error}")
        code = FAILED
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Everything that is read here may be forged, and is checked no further than it is of use.
        if "SPRAT_DEBUG" in os.environ:
            raise
        warn(f"the trace says what makes no sense ({type(error).__name__}: {error}); SPRAT_DEBUG=1 tells where")
        code = FAILED
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


# Values as people read them.


def size(count):
    """Bytes, in decimal units as the program itself prints them."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length * 0.9995:
            figure = count / length
            return f"{figure:.0f} {unit}" if figure >= 99.95 else f"{figure:.1f} {unit}"
    return f"{count:.0f} B"


def rate(per_second):
    return f"{size(per_second)}/s"


def span(micros):
    """A length of time, to three digits or so."""
    if micros < 0:
        return "-" + span(-micros)
    if micros < 999.5:
        return f"{micros:.0f} µs"
    if micros < 99_950:
        return f"{micros / 1000:.1f} ms"
    if micros < 999_500:
        return f"{micros / 1000:.0f} ms"
    if micros < 59_950_000:
        return f"{micros / 1e6:.2f} s" if micros < 9_995_000 else f"{micros / 1e6:.1f} s"
    minutes, seconds = divmod(round(micros / 1e6), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def share(part, whole):
    if whole <= 0:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 9.95 else f"{percent:.0f} %"


def count(number, one, many=None):
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def host_text(address, default_port=27183):
    """An address without the port, where that is everybody's."""
    return address[: -len(f":{default_port}")] if address.endswith(f":{default_port}") else address


def listed(words):
    """`a`, `a and b`, `a, b and c`."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def printable(text):
    """A stranger's name without what could drive a terminal, or turn the line around."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
