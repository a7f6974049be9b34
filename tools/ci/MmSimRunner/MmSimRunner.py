# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A stuart build plugin: runs the scenarios of a platform with mmsim after its build, as HostBasedUnitTestRunner runs host tests.

Build variables (SetEnvironment of the platform, or -D on the command line):
  MMSIM            the program; default: mmsim on PATH
  MMSIM_SCENARIOS  scenario files and folders, relative to the workspace, separated by os.pathsep; none: nothing is run
  MMSIM_TARGET     sim, qemu or both; default: sim
The report is <BUILD_OUTPUT_BASE>/MmSim.xml in JUnit form.
"""
import logging
import os
import shutil
import subprocess
import xml.etree.ElementTree as tree

from edk2toolext.environment.plugintypes.uefi_build_plugin import IUefiBuildPlugin


class MmSimRunner(IUefiBuildPlugin):
    """Runs after the build; the number of failed scenarios, or 1 for another failure, fails it."""

    def do_post_build(self, thebuilder):
        wanted = thebuilder.env.GetValue("MMSIM_SCENARIOS")
        if not wanted:
            logging.debug("MmSimRunner: MMSIM_SCENARIOS names no scenario")
            return 0
        program = shutil.which(thebuilder.env.GetValue("MMSIM") or "mmsim")
        if program is None:
            logging.error("MmSimRunner: mmsim is neither on PATH nor what MMSIM names")
            return 1
        report = os.path.join(thebuilder.env.GetValue("BUILD_OUTPUT_BASE"), "MmSim.xml")
        paths = [os.path.join(thebuilder.ws, path) for path in wanted.split(os.pathsep)]
        target = thebuilder.env.GetValue("MMSIM_TARGET") or "sim"
        done = subprocess.run([program, "run", *paths, f"--target={target}", "-j", "0", "-q", "--junit", report],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        for line in done.stdout.splitlines():
            logging.log(logging.INFO if done.returncode == 0 else logging.ERROR, line)
        return self.failures(report) or 1 if done.returncode else 0

    @staticmethod
    def failures(report):
        """How many scenarios of the report failed; 0 when there is no report."""
        if not os.path.isfile(report):
            return 0
        cases = tree.parse(report).getroot().iter("testcase")
        return sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
