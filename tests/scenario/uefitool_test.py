# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim images` against UEFIExtract, an independent parser, over the firmware that is installed: the same files of the same
types. MM_FIRMWARE names more folders. Exit code 77 without UEFIExtract or without firmware (Debian: uefitool-cli, ovmf)."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from support import MMSIM

FOLDERS = ["/usr/share/OVMF", "/usr/share/ovmf", "/usr/share/AAVMF", "/usr/share/qemu-efi-aarch64", "/usr/share/qemu"]
# Subtypes of UEFITool by the file type of PI 1.8 vol. 3, 3.2.3.1.
TYPES = {"Raw": 1, "Freeform": 2, "SEC core": 3, "PEI core": 4, "DXE core": 5, "PEI module": 6, "DXE driver": 7,
         "Combined PEI/DXE": 8, "Application": 9, "SMM module": 10, "Volume image": 11, "Combined SMM/DXE": 12, "SMM core": 13,
         "MM standalone module": 14, "MM standalone core": 15}
ROW = re.compile(r"^ *File *\| *(?P<kind>[^|]*?) *\|.*\| *-+ (?P<guid>[0-9A-F-]{36})")


def theirs(image):
    """Files of UEFIExtract's report, by GUID and type; pad files are none."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, "image.fd")
        shutil.copy(image, copy)
        subprocess.run(["UEFIExtract", copy, "report"], capture_output=True, timeout=600, check=True, cwd=folder)
        rows = (ROW.match(line) for line in copy.with_name("image.fd.report.txt").read_text(errors="replace").splitlines())
        return collections.Counter((row["guid"], TYPES[row["kind"]]) for row in rows if row and row["kind"] not in ("Pad", ""))


def ours(image):
    """Files of `mmsim images`, by GUID and type; and how many volumes were not opened."""
    done = subprocess.run([MMSIM, "images", "--json", image], capture_output=True, text=True, timeout=600, check=False)
    files = collections.Counter()

    def add(volumes):
        for volume in volumes:
            for file in volume["files"]:
                files[file["guid"], file["type"]] += 1
                add(file.get("volumes", []))

    for result in json.loads(done.stdout or '{"results": []}')["results"]:
        add(result.get("volumes", []))
    return files, done.returncode


def main():
    if shutil.which("UEFIExtract") is None:
        print("UEFIExtract is not installed (Debian: uefitool-cli)")
        return 77
    folders = FOLDERS + [f for f in os.environ.get("MM_FIRMWARE", "").split(":") if f]
    images = sorted({path.resolve() for folder in folders for path in pathlib.Path(folder).rglob("*.fd") if path.is_file()})
    different = 0
    for image in images:
        want, (have, code) = theirs(image), ours(image)
        same = want == have
        different += not same
        print(f"{'same' if same else 'DIFFERENT':<10}{sum(have.values()):>5} files, UEFIExtract {sum(want.values()):>5}, exit code {code}  {image}")
        for what in sorted((want - have) + (have - want)):
            print(f"    {what[0]} type {what[1]}: {have[what]} here, {want[what]} there")
    print(f"{len(images) - different} of {len(images)} images have the same files")
    return 77 if not images else 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
