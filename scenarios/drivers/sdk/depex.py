#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Writes a dependency expression in binary form: depex.py OUTPUT "PUSH <guid> PUSH <guid> AND". END is added when it is missing."""
import sys
import uuid

OPCODES = {"BEFORE": 0, "AFTER": 1, "PUSH": 2, "AND": 3, "OR": 4, "NOT": 5, "TRUE": 6, "FALSE": 7, "END": 8, "SOR": 9}


def encode(text):
    out = bytearray()
    words = text.split()
    if not words or words[-1].upper() != "END":
        words.append("END")
    at = 0
    while at < len(words):
        word = words[at].upper()
        if word not in OPCODES:
            raise SystemExit(f"depex: unknown opcode '{words[at]}'")
        out.append(OPCODES[word])
        at += 1
        if OPCODES[word] <= 2:
            if at == len(words):
                raise SystemExit(f"depex: {word} needs a GUID")
            try:
                out += uuid.UUID(words[at]).bytes_le
            except ValueError:
                raise SystemExit(f"depex: '{words[at]}' is not a GUID") from None
            at += 1
    return bytes(out)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with open(sys.argv[1], "wb") as file:
        file.write(encode(sys.argv[2]))


if __name__ == "__main__":
    main()
