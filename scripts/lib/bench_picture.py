"""The figures of a run of `scripts/bench` as a picture: a bar for each tool, a group of bars for each case."""

import svg
from bench_report import summed_up

WIDTH, LEFT, BAR, GAP = 980, 230, 17, 5
INNER = WIDTH - LEFT - 110


def picture(results, about):
    """All cases that have a goodput or a time, as SVG."""
    drawn = svg.Picture(WIDTH)
    said = f"sprat {about['commit']} beside others, {about['date']}"
    drawn.text(24, 36, said, "verdict")
    drawn.text(24, 56, f"{about['machine']}, {about['processors']} processors", "soft")
    y = 92
    for case in results.cases:
        tools = {tool: summed_up(runs) for tool, runs in case["tools"].items()}
        in_share = all("goodput" in found for found in tools.values())
        key = "goodput" if in_share else "seconds"
        if not tools or not all(key in found for found in tools.values()) or case["name"] == "fair":
            continue
        y = group(drawn, case, {tool: found[key] for tool, found in tools.items()}, in_share, y)
    drawn.height = y
    return drawn.svg(None, said)


def group(drawn, case, values, in_share, y):
    """One case; gives where the next may begin."""
    drawn.text(24, y, svg.shorten(case["title"], WIDTH - 48, 14, True), "title")
    unit = "% of the link's raw rate" if in_share else "seconds, less is better"
    drawn.text(24, y + 17, unit + (f"; wanted: {case['wanted']}" if case["wanted"] else ""), "small")
    y += 30
    most = 1 if in_share else max(values.values()) or 1
    drawn.rect(LEFT, y, INNER, len(values) * (BAR + GAP) + GAP, "panel")
    for tool, value in values.items():
        y += GAP
        colour = svg.SERIES[0] if tool.startswith("sprat") else svg.OTHERS
        drawn.rect(LEFT, y, INNER * min(1, value / most), BAR, "", colour)
        drawn.text(LEFT - 8, y + 13, svg.shorten(tool, LEFT - 30), "soft", "end")
        text = f"{value * 100:.1f} %" if in_share else f"{value:.2f} s"
        drawn.text(LEFT + INNER * min(1, value / most) + 6, y + 13, text, "small")
        y += BAR
    return y + GAP + 42
