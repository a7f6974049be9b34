#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Records CPUID of the installed QEMU through the driver Instructions, and prints the rows of sim/engine/cpuid.hpp.

    tools/support/record_cpuid.py build/host-release/tools/runner/mmsim            prints the rows
    tools/support/record_cpuid.py build/host-release/tools/runner/mmsim --compare  simulator against QEMU, 1 to 8 CPUs
"""

import json
import pathlib
import subprocess
import sys
import tempfile

LEAVES = [(leaf, 0) for leaf in [*range(0x10), 0x14, 0x1F, *range(0x40000000, 0x40000003),
                                 *range(0x80000000, 0x8000000B), 0xC0000000, 0xFFFFFFFF]]
LEAVES += [(leaf, subleaf) for leaf in (4, 7, 0xB, 0xD, 0xFFFFFFFF) for subleaf in range(1, 5)]
DERIVED = (0xB,)  # cpuid() computes the topology


def scenario():
    text = 'schema = 1\nimages = [{ driver = "Instructions" }]\n'
    for leaf, subleaf in LEAVES:
        text += (f'[[step]]\ntitle = "leaf {leaf:#x}, subleaf {subleaf}"\nkind = "communicate"\nto = "Instructions"\n'
                 f"fields = [{{ u64 = 0 }}, {{ u64 = {leaf:#x} }}, {{ u64 = {subleaf} }}, {{ u64 = 0 }}]\n")
    return text


def registers(step):
    message = bytes.fromhex(step["data_hex"])[24:]
    return tuple(int.from_bytes(message[at:at + 4], "little") for at in range(0, 32, 8))


def rows(mmsim, path):
    done = subprocess.run([mmsim, "run", path, "--target=qemu", "--json"], capture_output=True, text=True, check=True)
    for (leaf, subleaf), step in zip(LEAVES, json.loads(done.stdout)["results"][0]["story"]):
        defined = leaf <= 0xB or 0x40000000 <= leaf <= 0x40000001 or 0x80000000 <= leaf <= 0x80000008
        if defined and leaf not in DERIVED and any(registers(step)) and (subleaf == 0 or leaf in (4, 7)):
            values = ", ".join(f"0x{value:08X}" for value in registers(step))
            print(f"    CpuidRow{{0x{leaf:08X}, {subleaf}, {{{values}}}}},")
    return 0


def compare(mmsim, path):
    return max(subprocess.run([mmsim, "run", path, "--target=both", "--cpus", str(cpus)], check=False).returncode
               for cpus in range(1, 9))


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "cpuid.toml"
        path.write_text(scenario(), encoding="utf-8")
        return compare(arguments[0], path) if "--compare" in arguments else rows(arguments[0], path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
