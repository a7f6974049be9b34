#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Makes the pictures that come from a run: session.svg, session.cast and map.svg.

  tools/pictures/make.py [MMSIM [FOLDER]]     the program (build/host-release/...), and where the pictures go (beside this file)

session.cast is what `asciinema play` shows. Exit codes: 0, 1 a command of the session failed, 2 usage, 3 no program.
"""

import html
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLUMNS, LEAST_ROWS = 112, 10
SESSION = ("tools/mmsim run scenarios/smoke/hello.toml --target=both",
           "tools/mmsim send --image build/host-release/images/Hello.efi --to Hello --text Hello",
           "tools/mmsim policy explain scenarios/policies/allow_list.xml \"IO 0x3F8 write 1\"",
           "tools/mmsim scan build/host-release/images/PortBefore.efi | tail -n 3")
SGR = re.compile(r"\x1b\[([\d;]*)m")
COLOURS = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}
STYLE = """
text { font: 13px ui-monospace, monospace; fill: #d8dee4; white-space: pre; }
.bold { font-weight: 700; } .dim { fill: #8b949e; } .red { fill: #ff7b72; } .green { fill: #7ee787; }
.yellow { fill: #e3b341; } .cyan { fill: #79c0ff; }
@keyframes shown { from { opacity: 0; } to { opacity: 1; } }
.line { animation: shown 0.05s both; }
@media print { .line { animation: none; } }
@media (prefers-reduced-motion: reduce) { .line { animation: none; } }
"""


def run(command: str, program: pathlib.Path) -> tuple[int, str]:
    """Exit code, and what a terminal of COLUMNS is sent, with the program and its images in place of tools/mmsim."""
    images = program.parent / "../../images"
    typed = command.replace("tools/mmsim", f'"{program}"', 1).replace("build/host-release/images", str(images.resolve()))
    ours, theirs = pty.openpty()
    child = subprocess.Popen(["sh", "-c", typed], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=ROOT,
                             env=os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "MM_PROGRAM": "tools/mmsim"})
    os.close(theirs)
    said = b""
    try:
        while some := os.read(ours, 65536):
            said += some
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    text = said.decode().replace("\r\n", "\n")
    return child.wait(), text.replace(str(images.resolve()), "build/host-release/images")


def line_svg(text: str, style: str) -> tuple[str, str]:
    """One line with its colours, cut off where the terminal ends; `style` is that behind the line before, and is given back."""
    out, seen = "", 0
    for i, part in enumerate(SGR.split(text)):
        if i % 2 == 1:
            style = " ".join(COLOURS[code] for code in part.split(";") if code in COLOURS)
            continue
        shown = html.escape(part[:max(COLUMNS - seen, 0)], quote=False).replace(" ", "\u00a0")
        seen += len(part)
        out += f'<tspan class="{style}">{shown}</tspan>' if style and shown else shown
    return out, style


def record(program: pathlib.Path, folder: pathlib.Path) -> int:
    lines: list[tuple[float, str, str]] = []  # when, class, text
    events, now, status = [], 0.5, 0
    for command in SESSION:
        code, said = run(command, program)
        if code not in (0, 1) or "MISSING" in said:
            print(f"pictures: {command}: exit code {code}\n{said}", file=sys.stderr)
            status = 1
        lines.append((now, "prompt", f"$ {command}"))
        events.append([now, "o", f"$ {command}\r\n"])
        now = round(now + 1.2, 2)
        for line in said.rstrip("\n").split("\n"):
            lines.append((now, "", line))
            events.append([now, "o", line + "\r\n"])
            now = round(now + 0.08, 2)
        lines.append((now, "", ""))
        events.append([now, "o", "\r\n"])
        now = round(now + 1.5, 2)
    height = 18 * len(lines) + 40
    width = round(COLUMNS * 7.85) + 32
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="a session with mmsim">',
           "<!-- SPDX-License-Identifier: BSD-2-Clause-Patent -->", "<!-- Made by tools/pictures/make.py. -->",
           f"<style>{STYLE}</style>", f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>']
    style = ""
    for row, (when, kind, text) in enumerate(lines):
        shown, style = line_svg(text, "bold" if kind else style)
        style = "" if kind else style
        indent = len(shown) - len(shown.lstrip("\u00a0"))  # not every program shows spaces in front
        out.append(f'<text class="line" x="{16 + 7.8 * indent:.1f}" y="{18 * row + 34}" style="animation-delay:{when:.2f}s">{shown[indent:]}</text>')
    (folder / "session.svg").write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")
    header = {"version": 2, "width": COLUMNS, "height": max(LEAST_ROWS, len(lines)), "title": "a session with mmsim"}
    (folder / "session.cast").write_text("\n".join(json.dumps(one) for one in [header, *events]) + "\n", encoding="utf-8")
    return status


def map_of(program: pathlib.Path, folder: pathlib.Path) -> int:
    """The map of the page of `mmsim audit`, with the light colours that it has there, as values: not every program that shows an
    SVG knows variables."""
    with tempfile.TemporaryDirectory() as temporary:
        page = pathlib.Path(temporary) / "map.html"
        done = subprocess.run([program, "audit", ROOT / "scenarios/smoke/hello.toml", "--html", page], stdout=subprocess.PIPE,
                              text=True, check=False)
        text = page.read_text(encoding="utf-8")
    svg = re.search(r"<svg .*?</svg>\n", text, re.S).group(0)
    style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
    colours = dict(re.findall(r"--(\w+): (#\w+);", style.partition("@media")[0]))
    rules = [rule for rule in re.findall(r"(?:svg )?\.\w+ \{[^}]*\}", style.partition("@media print")[0]) if "legend" not in rule]
    style = re.sub(r"var\(--(\w+)\)", lambda found: colours[found.group(1)], "\n".join(["", *rules, ""])).replace("svg .", ".")
    head, _, rest = svg.partition("\n")
    paper = '<rect width="100%" height="100%" fill="' + colours["paper"] + '"/>'
    (folder / "map.svg").write_text(f"{head}\n<!-- SPDX-License-Identifier: BSD-2-Clause-Patent -->\n"
                                    f"<!-- Made by tools/pictures/make.py. -->\n<style>{style}</style>\n{paper}\n{rest}", encoding="utf-8")
    return done.returncode


def main() -> int:
    if len(sys.argv) > 3:
        print(__doc__, file=sys.stderr)
        return 2
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/host-release/tools/runner/mmsim").resolve()
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    if not program.is_file():
        print(f"pictures: {program}: no such program; tools/mmsim builds it", file=sys.stderr)
        return 3
    return max(record(program, folder), map_of(program, folder))


if __name__ == "__main__":
    sys.exit(main())
