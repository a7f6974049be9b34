# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The driver SDK as somebody outside this tree uses it: the template, and the C++ driver of the page, built and run."""

import pathlib
import re
import shutil
import subprocess
import unittest

from support import BAD_INPUT, FAILED, MMSIM, PASSED, ROOT, TestCase, run

SDK = ROOT / "scenarios" / "drivers" / "sdk"


class Sdk(TestCase):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "my driver"
        shutil.copytree(SDK / "template", self.project)

    def cmake(self, *arguments, good=True):
        done = subprocess.run(["cmake", *map(str, arguments)], cwd=self.project, capture_output=True, text=True, timeout=300,
                              check=False)
        self.assertEqual(done.returncode == 0, good, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def build(self, source="my_driver.c", *options):
        self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}", f"-DMY_SOURCE={source}", *options)
        self.cmake("--build", "build")

    def passes(self):
        code, text = run(self.project / "build" / "my_driver.toml", "--target=both")
        self.assertEqual(code, PASSED, text)
        self.assertIn("2a 00 00 00 00 00 00 00", text)

    def edit(self, name, old, new):
        path = self.project / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def test_the_template_builds_and_runs_on_both_machines(self):
        self.build()
        self.passes()

    def test_the_supervised_flavour_of_it(self):
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR supervised")
        self.build()
        self.passes()

    def test_the_driver_of_the_page(self):
        page = (ROOT / "scenarios" / "drivers" / "README.md").read_text(encoding="utf-8")
        code = re.search(r"```cpp\n(.*?)```", page, re.DOTALL).group(1)
        (self.project / "my_driver.cpp").write_text(code, encoding="utf-8")
        self.build("my_driver.cpp")
        self.passes()

    def test_the_template_in_cpp(self):
        self.build("my_driver.cpp")
        self.passes()

    def rustc(self):
        """A Rust compiler that has the target of the images; None: there is none."""
        for program in ("rustc", "/usr/bin/rustc"):
            if shutil.which(program):
                done = subprocess.run([program, "--print", "target-libdir", "--target", "x86_64-pc-windows-gnu"],
                                      capture_output=True, text=True, check=False)
                if list(pathlib.Path(done.stdout.strip() or "none").glob("libcore-*.rlib")):
                    return program
        return None

    def test_the_template_in_rust(self):
        rustc = self.rustc()
        if rustc is None:
            self.skipTest("no rustc with x86_64-pc-windows-gnu (Debian's rustc and libstd-rust-dev-windows)")
        self.build("my_driver.rs", f"-DMM_RUSTC={rustc}")
        self.passes()
        # A fault in it has a line, as in C.
        self.edit("my_driver.rs", "let number = buffer as *mut u64;", "let number = 0xDEAD_0000 as *mut u64;")
        self.build("my_driver.rs", f"-DMM_RUSTC={rustc}")
        code, text = run(self.project / "build" / "my_driver.toml")
        self.assertEqual(code, FAILED, text)
        self.assertRegex(text, r"on_message at .*my_driver\.rs:\d+")

    EDK2 = r"""
#include "scenarios/drivers/sdk/mm_edk2.h"
MM_DRIVER_ENTRY (CounterEntryPoint)
STATIC CONST EFI_GUID mGuid = { 0x11111111, 0x2222, 0x3333, { 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55 } };
STATIC UINT64 *mLast = NULL;

STATIC EFI_STATUS EFIAPI
OnMessage (IN EFI_HANDLE DispatchHandle, IN CONST VOID *Context OPTIONAL, IN OUT VOID *CommBuffer OPTIONAL,
           IN OUT UINTN *CommBufferSize OPTIONAL)
{
  UINT64 Number;
  int unused_by_intent = CompareGuid (&mGuid, &mGuid) == FALSE;   // a warning of ours, not an error of theirs
  if (CommBuffer == NULL || CommBufferSize == NULL || *CommBufferSize != sizeof (UINT64)) {
    return EFI_INVALID_PARAMETER;
  }
  CopyMem (&Number, CommBuffer, sizeof (Number));
  ASSERT (Number % 2 != 0);
  *mLast = Number + 1;
  CopyMem (CommBuffer, mLast, sizeof (Number));
  DEBUG ((DEBUG_INFO, "%a: %d %u 0x%04x %lX [%g] %r 100%% %c\n", __func__, -3, 7, 0x2A, *mLast, &mGuid,
          EFI_BUFFER_TOO_SMALL, 'z'));
  return EFI_SUCCESS;
}

EFI_STATUS EFIAPI
CounterEntryPoint (IN EFI_HANDLE ImageHandle, IN EFI_MM_SYSTEM_TABLE *MmSystemTable)
{
  EFI_HANDLE Handle = NULL;
  mLast = AllocateZeroPool (sizeof (UINT64));
  ASSERT (mLast != NULL);
  return gMmst->MmiHandlerRegister (OnMessage, &mGuid, &Handle);
}
"""

    def test_a_driver_as_edk2_writes_it(self):
        (self.project / "my_driver.c").write_text(self.EDK2, encoding="utf-8")
        self.build()
        self.passes()
        image = self.project / "build/images/MyDriver.efi"

        def send(number):
            done = subprocess.run([MMSIM, "send", "--image", image, "--to", "MyDriver", "--hex", number, "-v"],
                                  capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

        code, text = send("2900000000000000")
        self.assertEqual(code, PASSED, text)
        self.assertIn("OnMessage: -3 7 0x002A 2A [11111111-2222-3333-4444-555555555555] Buffer Too Small 100% z", text)
        code, text = send("2800000000000000")
        self.assertEqual(code, FAILED, text)
        self.assertRegex(text, r"ASSERT my_driver\.c\(\d+\): Number % 2 != 0")
        self.assertIn("#UD", text)

    def test_what_it_uses_to_start_is_listed(self):
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR supervised")
        self.edit("my_driver.c", "  (void)ImageHandle;\n  return", "  (void)ImageHandle;\n  IoRead8(0x71);\n  IoRead8(0x71);\n"
                  "  AsmReadMsr64(0x1B);\n  return")
        self.build()
        done = subprocess.run([MMSIM, "send", "--image", self.project / "build/images/MyDriver.efi", "--list"],
                              capture_output=True, text=True, check=False)
        self.assertEqual([line for line in done.stdout.splitlines() if "uses" in line],
                         ["  uses      IO 0x71 read, 1 byte", "  uses      MSR 0x1B read"], done.stdout + done.stderr)

    def test_what_is_missing_is_said(self):
        self.assertIn("-DMM_SUPERVISOR", self.cmake("-B", "build", "-DMM_SUPERVISOR=/nonexistent", good=False))
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR strange")
        self.assertIn("FLAVOUR is standard or supervised", self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}", good=False))
        self.edit("CMakeLists.txt", "FLAVOUR strange", "FLAVOUR standard SORUCES x.c")
        self.assertIn("SORUCES", self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}", good=False))
        code, text = run(self.project / "my_driver.toml.in")
        self.assertEqual(code, BAD_INPUT, text)
        self.assertIn("images/MyDriver.efi", text)


if __name__ == "__main__":
    unittest.main()
