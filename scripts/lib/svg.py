"""A picture as SVG, written by hand: shapes, axes, text that does not run into other text.

Colours are classes of one style sheet, so that a picture is light or dark as its reader is; those of
the series are Okabe and Ito's, which people with any colour vision tell apart.
"""

import math
import os
import shutil
import subprocess
import tempfile

from trace_events import Trouble

# Blue, orange, green, purple, sky, vermilion, brown; the rest is together and grey.
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31")
OTHERS = "#8a8f98"

LIGHT = {
    "bg": "#ffffff", "panel": "#f6f7f9", "text": "#1b1f24", "soft": "#57606a", "grid": "#dde1e6",
    "axis": "#9aa2ab", "stall": "#d55e00", "strong": "#1b1f24",
}
DARK = {
    "bg": "#14181d", "panel": "#1c2229", "text": "#e6e9ed", "soft": "#a3adb8", "grid": "#2e3640",
    "axis": "#6b7580", "stall": "#ff8a3d", "strong": "#f0f3f6",
}
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', Roboto, Helvetica, Arial, sans-serif"


def style(dark):
    """The style sheet: as wanted, or as the reader's system is."""
    sheet = rules(DARK if dark else LIGHT)
    if dark is None:
        sheet += "@media (prefers-color-scheme: dark) {" + rules(DARK) + "}\n"
    return sheet


def rules(colours):
    return (
        f"text {{ font-family: {FONT}; font-size: 13px; fill: {colours['text']}; }}\n"
        f".bg {{ fill: {colours['bg']}; }} .panel {{ fill: {colours['panel']}; }}\n"
        ".verdict { font-size: 20px; font-weight: 600; } .title { font-size: 14px; font-weight: 600; }\n"
        f"text.soft {{ fill: {colours['soft']}; }} text.small {{ font-size: 12px; fill: {colours['soft']}; }}\n"
        "text.inverse { font-size: 12px; fill: #ffffff; } text.onlight { font-size: 12px; fill: #1b1f24; }\n"
        f".grid {{ stroke: {colours['grid']}; stroke-width: 1; }} .axis {{ stroke: {colours['axis']}; }}\n"
        f".strong {{ stroke: {colours['strong']}; fill: none; stroke-width: 1.6; }}\n"
        f".faint {{ stroke: {colours['soft']}; fill: none; stroke-width: 1; stroke-dasharray: 2 4; }}\n"
        f".stall {{ fill: {colours['stall']}; opacity: 0.14; }}\n"
        f".stalledge {{ stroke: {colours['stall']}; stroke-width: 1; stroke-dasharray: 4 3; opacity: 0.8; }}\n"
        f"text.stalltext {{ fill: {colours['stall']}; font-weight: 600; }}\n"
        f".mark {{ stroke: {colours['text']}; fill: none; stroke-width: 1.4; }}\n"
        f".solid {{ fill: {colours['text']}; }} .hollow {{ fill: {colours['bg']}; stroke: {colours['text']}; }}\n"
        f".rest {{ fill: {colours['stall']}; opacity: 0.35; }}\n"
        f".silent {{ fill: {colours['soft']}; opacity: 0.35; }}\n"
    )


def escape(text):
    kept = "".join(c if c.isprintable() else "\ufffd" for c in str(text))
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def text_width(text, font_size=13, bold=False):
    """About how wide a text is, in pixels; in a wide font rather than in a narrow one."""
    wide = sum(0.36 if c in "iljft.,:;|!'()[] " else 0.95 if c in "mwMW@%—…" else 0.635 for c in text)
    wide *= 1.1 if bold else 1
    # Scripts with square letters are as wide as they are high.
    wide += 0.4 * sum(1 for c in text if ord(c) > 0x2E80)
    return wide * font_size


def shorten(text, width, font_size=13, bold=False):
    """The text, or as much of its beginning as fits."""
    if text_width(text, font_size, bold) <= width:
        return text
    while text and text_width(text + "…", font_size, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def wrap(text, width, font_size=13, lines=2, bold=False):
    """The text in at most that many lines."""
    out, words = [""], text.split(" ")
    for word in words:
        longer = f"{out[-1]} {word}".strip()
        if text_width(longer, font_size, bold) <= width or not out[-1] or len(out) == lines:
            out[-1] = longer
        else:
            out.append(word)
    out[-1] = shorten(out[-1], width, font_size, bold)
    return out


class Picture:
    """Shapes, from the back to the front."""

    def __init__(self, width):
        self.width, self.height, self.parts = width, 0, []

    def add(self, shape):
        self.parts.append(shape)

    def rect(self, x, y, width, height, css="", colour="", hint="", opacity=None):
        fill = f' fill="{colour}"' if colour else ""
        faint = f' opacity="{opacity}"' if opacity is not None else ""
        inside = f"<title>{escape(hint)}</title>" if hint else ""
        self.add(
            f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
            f'height="{height:.1f}"{fill}{faint}>{inside}</rect>'
        )

    def line(self, x1, y1, x2, y2, css="grid", colour="", width=None):
        stroke = f' stroke="{colour}"' if colour else ""
        stroke += f' stroke-width="{width}"' if width else ""
        self.add(f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{stroke}/>')

    def text(self, x, y, text, css="", anchor="start"):
        self.add(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def curve(self, points, colour="", css="", width=1.8, dash=""):
        """A line through points."""
        if not points:
            return
        if len(points) == 1:
            x, y = points[0]
            points = [(x - 1.5, y), (x + 1.5, y)]
        stroke = f' stroke="{colour}" fill="none" stroke-width="{width}"' if colour else ""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.add(f'<polyline class="{css}" points="{path}"{stroke}{dashes} stroke-linejoin="round"/>')

    def area(self, upper, lower, colour, opacity=0.75):
        """What lies between two lines through points."""
        if len(upper) < 2:
            return
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *reversed(lower)])
        self.add(f'<polygon points="{path}" fill="{colour}" opacity="{opacity}"/>')

    def shape(self, kind, x, y, colour=""):
        """A mark of what happened, by its shape and its colour."""
        if kind == "tick":
            self.line(x, y - 6, x, y + 6, "", colour or "#d55e00", 1.6)
        elif kind == "cross":
            for sign in (-1, 1):
                self.line(x - 4.5, y - 4.5 * sign, x + 4.5, y + 4.5 * sign, "", colour or "#d55e00", 2.4)
        elif kind == "diamond":
            self.add(f'<path class="solid" d="M{x:.1f},{y - 6:.1f} l5,6 l-5,6 l-5,-6 z"/>')
        elif kind == "ring":
            self.add(f'<circle class="hollow" cx="{x:.1f}" cy="{y:.1f}" r="3.6" stroke-width="1.4"/>')
        elif kind == "dot":
            fill = f' fill="{colour}"' if colour else ' class="solid"'
            self.add(f'<circle{fill} cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
        elif kind in ("bar", "rest"):
            self.rect(x - 7, y - 4, 14, 8, "silent" if kind == "bar" else kind)

    def legend(self, x, y, entries, width):
        """Entries [(shape, colour, text)] in rows; returns where the next thing may begin."""
        left = x
        for shape, colour, text in entries:
            needed = 40 + text_width(text, 13)
            if x > left and x + needed > left + width:
                x, y = left, y + 20
            if shape == "chip":
                self.rect(x, y - 10, 14, 11, "", colour)
            elif shape == "line":
                self.line(x, y - 4, x + 16, y - 4, "", colour, 2.4)
            elif shape == "thin":
                self.curve([(x, y - 4), (x + 18, y - 4)], colour, width=1.2, dash="5 3")
            elif shape == "strong":
                self.line(x, y - 4, x + 16, y - 4, "strong")
            else:
                self.shape(shape, x + 7, y - 4, colour)
            self.text(x + 21, y, text, "soft")
            x += needed
        return y + 20

    def svg(self, dark, name):
        height = math.ceil(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height}" '
            f'viewBox="0 0 {self.width} {height}" role="img">\n<title>{escape(name)}</title>\n'
            f"<style>\n{style(dark)}</style>\n"
            f'<rect class="bg" x="0" y="0" width="{self.width}" height="{height}"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"


def ticks(low, high, about):
    """Round values from low to high, about that many."""
    if high <= low:
        return [low]
    rough = (high - low) / max(about, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def plain(value, step):
    """A value on an axis, with as many digits as its step needs."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    return f"{value:,.{digits}f}"


class Panel:
    """One picture among several on one time axis. Values count in `unit`, of `per` each."""

    def __init__(self, picture, left, top, width, height, begin, end, high, unit="", per=1):
        self.picture, self.left, self.top, self.width, self.height = picture, left, top, width, height
        self.begin, self.end = begin, max(end, begin + 1)
        self.high, self.per = (high if high > 0 else per) * 1.06, per
        picture.rect(left, top, width, height, "panel")
        values = ticks(0, self.high / per, 4)
        for value in values:
            y = self.y(value * per)
            picture.line(left, y, left + width, y)
            step = values[1] - values[0] if len(values) > 1 else 1
            picture.text(left - 8, y + 4, plain(value, step), "small", "end")
        if unit:
            picture.text(left - 8, top - 9, unit, "small", "end")

    def x(self, t):
        part = (min(max(t, self.begin), self.end) - self.begin) / (self.end - self.begin)
        return self.left + self.width * part

    def y(self, value):
        return self.top + self.height * (1 - min(max(value / self.high, 0), 1))

    def title(self, text, more=""):
        self.picture.text(self.left, self.top - 9, text, "title")
        if more:
            self.picture.text(self.left + text_width(text, 14, True) + 10, self.top - 9, more, "small")


def time_unit(length):
    """In what an axis of that many microseconds counts: (name, microseconds)."""
    if length < 20_000:
        return "ms", 1_000
    if length < 300_000_000:
        return "s", 1_000_000
    return ("min", 60_000_000) if length < 3 * 3_600_000_000 else ("h", 3_600_000_000)


def time_axis(picture, left, top, width, bottom, begin, end, caption):
    """Lines through everything from top to bottom, and what they mean below."""
    unit, per = time_unit(end - begin)
    values = ticks(0, (end - begin) / per, 10)
    step = values[1] - values[0] if len(values) > 1 else 1
    for value in values:
        x = left + width * value * per / max(end - begin, 1)
        picture.line(x, top, x, bottom)
        picture.text(x, bottom + 17, plain(value, step), "small", "middle")
    picture.text(left + width, bottom + 34, f"{caption}, in {unit}", "small", "end")


# Programs that make a PNG of it, the best first: (name, arguments).
CONVERTERS = (
    ("rsvg-convert", ["--zoom", "2", "-o", "{png}", "{svg}"]),
    ("inkscape", ["--export-type=png", "--export-dpi=192", "--export-filename={png}", "{svg}"]),
    ("magick", ["-density", "192", "{svg}", "{png}"]),
    ("convert", ["-density", "192", "{svg}", "{png}"]),
    ("chromium", ["--headless", "--disable-gpu", "--hide-scrollbars", "--screenshot={png}", "--window-size={size}", "{svg}"]),
    ("chromium-browser", ["--headless", "--disable-gpu", "--screenshot={png}", "--window-size={size}", "{svg}"]),
)


def write_png(svg, png, width, height):
    """Converts with whatever is there."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = os.path.join(folder, "picture.svg"), os.path.join(folder, "picture.png")
        with open(source, "w", encoding="utf-8") as file:
            file.write(svg)
        values = {"svg": source, "png": made, "size": f"{width},{math.ceil(height)}"}
        tried = []
        for name, arguments in CONVERTERS:
            program = shutil.which(name)
            if not program:
                continue
            tried.append(name)
            command = [program, *(argument.format(**values) for argument in arguments)]
            subprocess.run(command, capture_output=True, check=False)
            if os.path.exists(made) and os.path.getsize(made):
                shutil.copyfile(made, png)
                return name
    if tried:
        raise Trouble(f"{' and '.join(tried)} could not make a PNG of it; the SVG opens in any browser")
    raise Trouble("nothing here makes a PNG: install librsvg2-bin (apt-get install librsvg2-bin), or open the SVG in a browser")
