# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What tools/ci gives to other builds: the steps of the action, and the plugin of stuart against a stub of it."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types
import unittest
import xml.etree.ElementTree as tree

from support import IMAGES, MMSIM, ROOT, SMOKE, TestCase

CI = ROOT / "tools" / "ci"


def plugin():
    """The module, as stuart loads it; of edk2toolext there is only the base class."""
    base = types.ModuleType("edk2toolext.environment.plugintypes.uefi_build_plugin")
    base.IUefiBuildPlugin = type("IUefiBuildPlugin", (), {})
    for name in ("edk2toolext", "edk2toolext.environment", "edk2toolext.environment.plugintypes"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules[base.__name__] = base
    described = json.loads(re.sub(r"^#.*$", "", (CI / "MmSimRunner/MmSimRunner_plug_in.yaml").read_text(), flags=re.M))
    spec = importlib.util.spec_from_file_location(described["module"], CI / "MmSimRunner" / (described["module"] + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, described["module"])()


class Builder:
    """What the plugin looks at of stuart's UefiBuilder."""

    def __init__(self, workspace, **values):
        self.ws = str(workspace)
        self.env = types.SimpleNamespace(GetValue=lambda name: values.get(name))


class Ci(TestCase):
    def scenarios(self, weak: int):
        folder = self.folder / "mm"
        folder.mkdir()
        for i in range(3):
            text = (SMOKE / "hello.toml").read_text() + ('\n[expect]\nhalted = "UserFault"\n' if i < weak else "")
            (folder / f"s{i}.toml").write_text(text)
        return folder

    def after_build(self, **more):
        return plugin().do_post_build(Builder(self.folder, MMSIM=str(MMSIM), BUILD_OUTPUT_BASE=str(self.folder), **more))

    def test_the_plugin_fails_a_build_by_the_number_of_failed_scenarios(self):
        os.environ["MM_IMAGES"] = str(IMAGES)
        self.scenarios(weak=2)
        with self.assertLogs(level="ERROR") as logs:
            self.assertEqual(self.after_build(MMSIM_SCENARIOS="mm"), 2)
        self.assertIn("s1.toml", "".join(logs.output))
        self.assertEqual(tree.parse(self.folder / "MmSim.xml").getroot().get("failures"), "2")

    def test_the_plugin_lets_a_sound_build_pass(self):
        os.environ["MM_IMAGES"] = str(IMAGES)
        self.scenarios(weak=0)
        self.assertEqual(self.after_build(MMSIM_SCENARIOS="mm"), 0)
        self.assertEqual(self.after_build(), 0, "nothing was asked for")

    def test_the_plugin_says_what_is_missing(self):
        with self.assertLogs(level="ERROR") as logs:
            self.assertEqual(self.after_build(MMSIM_SCENARIOS="no such folder"), 1)
        self.assertIn("no such folder", "".join(logs.output))
        with self.assertLogs(level="ERROR") as logs:
            builder = Builder(self.folder, MMSIM="no-such-program", MMSIM_SCENARIOS="mm", BUILD_OUTPUT_BASE=str(self.folder))
            self.assertEqual(plugin().do_post_build(builder), 1)
        self.assertIn("MMSIM names", "".join(logs.output))

    def step(self, name: str) -> str:
        """The script of a step of the action."""
        text = (CI / "action.yml").read_text()
        found = re.search(rf"- name: {name}\n.*?run: \|\n((?:        [^\n]*\n)+)", text, re.S)
        return re.sub(r"^ {8}", "", found.group(1), flags=re.M)

    def test_the_steps_of_the_action(self):
        """The package is unpacked and put on PATH, then the scenarios run and a report is left."""
        packed = self.folder / "pack" / "mm-supervisor_0" / "bin"
        packed.mkdir(parents=True)
        (packed / "mmsim").write_text(f'#!/bin/sh\nMM_IMAGES="{IMAGES}" exec "{MMSIM}" "$@"\n')
        (packed / "mmsim").chmod(0o755)
        tarball = shutil.make_archive(str(self.folder / "package"), "gztar", self.folder / "pack", "mm-supervisor_0")
        path_file = self.folder / "path"
        report = self.folder / "report.xml"
        scenarios = self.scenarios(weak=1)
        environment = os.environ | {"RUNNER_TEMP": str(self.folder), "GITHUB_PATH": str(path_file), "PACKAGE": tarball,
                                    "SCENARIOS": f"{scenarios}/s1.toml {scenarios}/s0.toml", "TARGET": "sim",
                                    "REPORT": str(report)}
        subprocess.run(["bash", "-euo", "pipefail", "-c", self.step("Unpack mmsim")], env=environment, check=True)
        environment["PATH"] = path_file.read_text().strip() + os.pathsep + environment["PATH"]
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.step("Run scenarios")], env=environment, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(tree.parse(report).getroot().get("tests"), "2")

    def test_the_development_container_names_what_exists(self):
        described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
        file = (ROOT / ".devcontainer" / described["build"]["dockerfile"]).resolve()
        text = file.read_text()
        self.assertIn(f"AS {described['build']['target']}", text)
        for tool in re.findall(r"\btools/[a-z/]+\b", text):
            self.assertTrue((ROOT / tool).exists() or pathlib.Path(tool) == pathlib.Path("tools/ci"), tool)


if __name__ == "__main__":
    unittest.main()
