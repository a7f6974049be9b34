# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A driver that waits for what another one was to bring, which faulted: the report names both."""

import json
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import FAILED, IMAGES, MMSIM, ROOT, TestCase

SOURCE = """#include "scenarios/drivers/sdk/mm_driver.h"

static EFI_GUID mProtocol = {0x01020304, 0x0506, 0x0708, {9, 10, 11, 12, 13, 14, 15, 16}};

EFI_STATUS mm_driver_main(EFI_HANDLE Image, EFI_MM_SYSTEM_TABLE* Mmst) {
  EFI_HANDLE Handle = NULL;
  (void)Image;
  *(volatile UINT8*)8 = 1;
  return Mmst->MmInstallProtocolInterface(&Handle, &mProtocol, 0, NULL);
}
"""
PROTOCOL = bytes.fromhex("0403020106050807090A0B0C0D0E0F10")


class Provider(TestCase):
    def setUp(self):
        super().setUp()
        project = self.folder / "project"
        shutil.copytree(ROOT / "scenarios/drivers/sdk/template", project)
        (project / "my_driver.c").write_text(SOURCE)
        for command in (["cmake", "-G", "Ninja", "-S", project, "-B", project / "build", f"-DMM_SUPERVISOR={ROOT}"],
                        ["cmake", "--build", project / "build"]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.provider = project / "build/images/MyDriver.efi"
        self.consumer = self.folder / "Consumer.efi"
        shutil.copy(IMAGES / "Hello.efi", self.consumer)
        self.write("Consumer.depex", b"\x02" + PROTOCOL + b"\x08")

    def test_send_and_run_say_it(self):
        done = subprocess.run([MMSIM, "send", "--image", self.provider, "--image", f"{self.consumer}:{self.folder}/Consumer.depex",
                               "--to", "Hello", "--text", "x"], capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, FAILED, done.stderr)
        self.assertRegex(done.stderr, r"Consumer: waiting for 01020304-\S+ \(depex: .*\); MyDriver, which has "
                                      r"01020304-0506-0708-090A-0B0C0D0E0F10 in it, faulted\n")
        scenario = self.write("s.toml", f'schema = 1\nimages = [{{ path = "{self.provider}" }}, {{ path = "{self.consumer}" }}]\n'
                              '[machine]\nfault_policy = "contain"\n')
        for arguments in ((), ("--json",), ("-v",)):
            done = subprocess.run([MMSIM, "run", scenario, *arguments], capture_output=True, text=True, timeout=600, check=False)
            text = json.loads(done.stdout)["results"][0]["dispatch"] if arguments == ("--json",) else done.stdout
            if arguments:
                self.assertIn("; MyDriver, which has 01020304", str(text))


if __name__ == "__main__":
    unittest.main()
