#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The bill of materials of an installation, SPDX 2.3 as JSON, on standard output.

  sbom.py BUILD PREFIX

What is installed below PREFIX, with hashes; the Debian packages of the libraries there; and those whose headers the
compiler read for the programs, as ninja noted them in BUILD. Nothing is taken from a list that somebody keeps.
Exit codes: 0, 2 usage, 3 ninja or dpkg is missing.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

OURS = re.compile(r"(core|hal|sim|tools|scenarios|fuzz/CMakeFiles/fuzz_driver\.dir)/")  # objects of what is installed
GPL_LIBRARY = "libunicorn"


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def owners(paths: set[str]) -> dict[str, set[str]]:
    """The Debian package of each path that has one."""
    found: dict[str, set[str]] = {}
    ordered = sorted(paths)
    for at in range(0, len(ordered), 500):
        for line in said("dpkg-query", "-S", *ordered[at:at + 500]).splitlines():
            packages, _, path = line.rpartition(": ")
            for package in packages.split(", "):
                found.setdefault(package.partition(":")[0], set()).add(path)
    return found


def headers(build: pathlib.Path) -> set[str]:
    """The files of the system that the compiler read."""
    found: set[str] = set()
    mine = False
    for line in said("ninja", "-C", str(build), "-t", "deps").splitlines():
        if line and not line.startswith(" "):
            mine = OURS.match(line) is not None
        elif mine and line.strip().startswith("/usr/"):
            found.add(os.path.realpath(line.strip()))
    return found


def libraries(folder: pathlib.Path) -> dict[str, set[str]]:
    """Package to installed libraries: the build took each from where the system has the same name."""
    names: dict[str, str] = {}
    for line in said("dpkg-query", "-S", *(f"*/{f.name}" for f in folder.glob("*.so*"))).splitlines():
        package, _, path = line.rpartition(": ")
        names.setdefault(pathlib.Path(path).name, package.partition(":")[0])
    found: dict[str, set[str]] = {}
    for name, package in names.items():
        found.setdefault(package, set()).add(name)
    return found


def licence(package: str) -> str:
    """The licences that Debian's copyright file names, in its words; most files have no expression of SPDX."""
    try:
        text = pathlib.Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "not stated"
    return ", ".join(sorted(set(re.findall(r"^License: *(\S.*)$", text, re.M)))) or f"see /usr/share/doc/{package}/copyright"


def spdx_id(text: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def debian_package(name: str) -> dict:
    version, source = (said("dpkg-query", "-W", "-f=${Version}\t${source:Package}@${source:Version}", name).split("\t") + [""])[:2]
    return {"SPDXID": spdx_id(f"Package-{name}"), "name": name, "versionInfo": version,
            "supplier": "Organization: Debian", "downloadLocation": f"https://snapshot.debian.org/package/{source.replace('@', '/')}/",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
            "licenseComments": f"Debian's copyright file names: {licence(name)}", "copyrightText": "NOASSERTION",
            "sourceInfo": f"Debian source package {source}",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:deb/debian/{name}@{version}"}]}


def files_of(prefix: pathlib.Path) -> list[dict]:
    out = []
    for path in sorted(p for p in prefix.rglob("*") if p.is_file() and not p.is_symlink() and p.name != "sbom.spdx.json"):
        content = path.read_bytes()
        name = "./" + str(path.relative_to(prefix))
        out.append({"SPDXID": spdx_id("File-" + hashlib.sha1(name.encode()).hexdigest()), "fileName": name,
                    "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
                                  {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()}],
                    "licenseConcluded": "NOASSERTION", "licenseInfoInFiles": ["NOASSERTION"], "copyrightText": "NOASSERTION"})
    return out


def document(build: pathlib.Path, prefix: pathlib.Path) -> dict:
    version = re.search(r"^CMAKE_PROJECT_VERSION:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.M).group(1)
    files = files_of(prefix)
    ours = spdx_id("Package-mm-supervisor")
    code = hashlib.sha1("".join(sorted(f["checksums"][0]["checksumValue"] for f in files)).encode()).hexdigest()
    packages = [{"SPDXID": ours, "name": "mm-supervisor", "versionInfo": version, "supplier": "NOASSERTION",
                 "downloadLocation": "NOASSERTION", "filesAnalyzed": True,
                 "packageVerificationCode": {"packageVerificationCodeValue": code},
                 "licenseConcluded": "BSD-2-Clause-Patent AND GPL-2.0-only", "licenseDeclared": "BSD-2-Clause-Patent",
                 "licenseComments": f"The program mmsim is linked with {GPL_LIBRARY}: as a whole it is under GPL-2.0.",
                 "licenseInfoFromFiles": ["NOASSERTION"], "copyrightText": "NOASSERTION"}]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ours)]
    relations += [(ours, "CONTAINS", f["SPDXID"]) for f in files]
    by_name = {pathlib.PurePath(f["fileName"]).name: f["SPDXID"] for f in files if "/lib/mm-supervisor/" in f["fileName"]}
    linked = libraries(prefix / "lib/mm-supervisor")
    for name, shared in sorted(linked.items()):
        packages.append(debian_package(name))
        relations.append((ours, "DYNAMIC_LINK", spdx_id(f"Package-{name}")))
        relations += [(by_name[one], "GENERATED_FROM", spdx_id(f"Package-{name}")) for one in sorted(shared) if one in by_name]
    for name in sorted(owners(headers(build)).keys() - linked.keys()):
        packages.append(debian_package(name))
        relations.append((spdx_id(f"Package-{name}"), "BUILD_DEPENDENCY_OF", ours))
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or
                                               (build / "CMakeCache.txt").stat().st_mtime), datetime.timezone.utc)
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"mm-supervisor-{version}", "documentNamespace": f"https://spdx.org/spdxdocs/mm-supervisor-{version}-{code}",
            "creationInfo": {"created": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: tools/package/sbom.py"]},
            "packages": packages, "files": files,
            "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in relations]}


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        json.dump(document(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])), sys.stdout, indent=1)
    except FileNotFoundError as e:
        print(f"sbom: {e}", file=sys.stderr)
        return 3
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
