# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Places in images by function and line: of a driver with DWARF in an ELF file beside it, as edk2 leaves it, of one with a
PDB, and of a driver of the SDK."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, ROOT, TestCase

HANDLER = "11111111-2222-3333-4444-555555555555"
WILD = "00 00 00 00 00 00 00 F0"

SOURCE = """#include "scenarios/drivers/sdk/mm_driver.h"

static const EFI_GUID mHandler = {0x11111111, 0x2222, 0x3333, {0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55}};

static inline __attribute__((always_inline)) UINT64 Peek(UINT64 Address) {
  return *(volatile UINT64*)Address;  // line 6
}

__attribute__((noinline)) static UINT64 Deep(UINT64* Address, UINT64 Depth) {
  UINT64 Some[20];
  for (UINT64 i = 0; i < 20; ++i) {
    Some[i] = Depth * i;
    __asm__ volatile("" : : "r"(&Some[i]) : "memory");
  }
  UINT64 Result = Depth == 0 ? Peek(*Address) : Deep(Address, Depth - 1);  // line 15
  return Result + Some[3];
}

static EFI_STATUS EFIAPI OnMessage(EFI_HANDLE Handle, void const* Context, void* Buffer, UINTN* Size) {
  (void)Handle;
  (void)Context;
  if (*Size < 8) {
    return EFI_INVALID_PARAMETER;
  }
  *(UINT64*)Buffer = Deep(Buffer, 1);  // line 25
  return EFI_SUCCESS;
}

EFI_STATUS mm_driver_main(EFI_HANDLE Image, EFI_MM_SYSTEM_TABLE* Mmst) {
  EFI_HANDLE Dispatch;
  (void)Image;
  return Mmst->MmiHandlerRegister(OnMessage, &mHandler, &Dispatch);
}
"""
ENTRY = """
EFI_STATUS EFIAPI _ModuleEntryPoint(EFI_HANDLE Image, EFI_MM_SYSTEM_TABLE* Mmst) { return mm_driver_main(Image, Mmst); }
"""
LAYOUT = """SECTIONS {
  . = 0x1000; .text : { *(.text*) }
  . = ALIGN(0x1000); .rodata : { *(.rodata*) *(.data*) *(.bss*) BYTE(1) }
  /DISCARD/ : { *(.eh_frame*) *(.comment) *(.note*) }
}
"""


def build(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def align(value):
    return (value + 0xFFF) // 0x1000 * 0x1000


def pe_of(text, rodata, entry):
    """A PE32+ file whose sections lie at the addresses of the ELF file, as GenFw makes it."""
    sections = [(b".text", text, 0x60000020), (b".rodata", rodata, 0x40000040)]
    end = 0x1000 + sum(align(len(data)) for _, data, _ in sections)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 240, 0x2022)
    head += struct.pack("<HHIIIII", 0x20B, 0, align(len(text)), 0, 0, entry, 0x1000)
    head += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0, 0x1000, 0x1000, 0, 0, 0, 0, 0, 0, 0, end, 0x1000, 0, 11, 0, 0, 0, 0, 0, 0, 16)
    head += bytes(128)
    at = 0x1000
    for name, data, rights in sections:
        head += struct.pack("<8sIIIIIIHHI", name, len(data), at, align(len(data)), at, 0, 0, 0, 0, rights)
        at += align(len(data))
    return head.ljust(0x1000, b"\0") + text.ljust(align(len(text)), b"\0") + rodata.ljust(align(len(rodata)), b"\0")


class Symbols(TestCase):
    def fault(self, image, *options, environment=None):
        """What `mmsim send` says of the message that makes the driver read a wild address."""
        done = subprocess.run([MMSIM, "send", "--image", str(image), "--to", HANDLER, "--hex", WILD, *options],
                              capture_output=True, text=True, timeout=600, check=False, env=environment)
        return done.stderr

    def source(self, more=""):
        return self.write("driver.c", (SOURCE + more).encode())

    def elf_driver(self):
        """Driver.efi and Driver.debug, an ELF file whose addresses are offsets of the image."""
        source, folder = self.source(ENTRY), self.folder
        build("clang-19", "--target=x86_64-unknown-linux-gnu", "-ffreestanding", "-O2", "-g", "-fpie", "-fvisibility=hidden",
              "-fno-stack-protector", "-fno-omit-frame-pointer", "-mno-red-zone", "-fno-asynchronous-unwind-tables",
              f"-I{ROOT}", "-c", source, "-o", folder / "driver.o")
        layout = self.write("layout.ld", LAYOUT.encode())
        build("ld.lld-19", "-T", layout, "-e", "_ModuleEntryPoint", folder / "driver.o", "-o", folder / "Driver.debug")
        parts = {}
        for name in (".text", ".rodata"):
            build("llvm-objcopy-19", "-O", "binary", f"--only-section={name}", folder / "Driver.debug", folder / "part")
            parts[name] = (folder / "part").read_bytes()
        entry = struct.unpack_from("<Q", (folder / "Driver.debug").read_bytes(), 24)[0]
        return self.write("Driver.efi", pe_of(parts[".text"], parts[".rodata"], entry))

    def pdb_driver(self):
        """Driver.efi and Driver.pdb, as CLANGPDB builds them."""
        source, folder = self.source(ENTRY), self.folder
        build("clang-19", "--target=x86_64-pc-windows-msvc", "-ffreestanding", "-O2", "-g", "-gcodeview", "-fno-stack-protector",
              "-fasynchronous-unwind-tables", "-mno-stack-arg-probe", f"-I{ROOT}", "-c", source, "-o", folder / "driver.obj")
        build("lld-link-19", "/nologo", "/driver", "/dll", "/noimplib", "/subsystem:efi_runtime_driver", "/machine:x64",
              "/nodefaultlib", "/entry:_ModuleEntryPoint", "/align:4096", "/filealign:4096", "/dynamicbase", "/base:0",
              "/debug", "/pdbaltpath:Driver.pdb", f"/out:{folder / 'Driver.efi'}", folder / "driver.obj")
        return folder / "Driver.efi"

    def test_dwarf_in_an_elf_file_beside_the_image(self):
        said = self.fault(self.elf_driver())
        self.assertRegex(said, r"Peek at \S*driver\.c:6, inlined in Deep at \S*driver\.c:15 \(mov ")
        self.assertRegex(said, r"called from Deep at \S*driver\.c:15 \(Driver\+0x[0-9a-f]+\), which is a guess")
        self.assertRegex(said, r"called from OnMessage at \S*driver\.c:25 .*guess")

    def test_dwarf_in_the_folder_that_edk2_leaves_it_in(self):
        image = self.elf_driver()
        for name, file in (("OUTPUT", "Driver.efi"), ("DEBUG", "Driver.debug")):
            (self.folder / name).mkdir()
            shutil.move(self.folder / file, self.folder / name / file)
        self.assertFalse(image.exists())
        self.assertIn("Peek at ", self.fault(self.folder / "OUTPUT/Driver.efi"))

    def test_pdb_beside_the_image(self):
        said = self.fault(self.pdb_driver())
        self.assertRegex(said, r"Peek at \S*driver\.c:6, inlined in Deep at \S*driver\.c:15 \(mov ")
        self.assertRegex(said, r"called from Deep at \S*driver\.c:15 \(Driver\+0x[0-9a-f]+\)\n")
        self.assertRegex(said, r"called from OnMessage at \S*driver\.c:25 ")
        self.assertNotIn("guess", said.split("OnMessage")[0])

    def test_a_pdb_that_was_renamed_with_the_image(self):
        """The image names Driver.pdb, on a disk of the one who built it."""
        image = self.pdb_driver()
        shutil.move(image, self.folder / "Mine.efi")
        shutil.move(self.folder / "Driver.pdb", self.folder / "Mine.pdb")
        temporary = self.folder / "temporary"
        temporary.mkdir()
        said = self.fault(self.folder / "Mine.efi", environment=os.environ | {"TMPDIR": str(temporary)})
        self.assertRegex(said, r"Peek at \S*driver\.c:6, inlined in Deep at \S*driver\.c:15 \(mov ")
        self.assertEqual(list(temporary.iterdir()), [], "nothing is left")
        (self.folder / "Mine.pdb").write_bytes(b"no PDB")
        said = self.fault(self.folder / "Mine.efi")
        self.assertRegex(said, r"at image offset 0x[0-9a-f]+ \(mov ")

    def sdk_driver(self):
        folder = self.folder / "project"
        shutil.copytree(ROOT / "scenarios/drivers/sdk/template", folder)
        (folder / "my_driver.c").write_text(SOURCE)
        build("cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build", f"-DMM_SUPERVISOR={ROOT}")
        build("cmake", "--build", folder / "build")
        return folder / "build/images/MyDriver.efi"

    def test_driver_of_the_sdk(self):
        image = self.sdk_driver()
        said = self.fault(image)
        self.assertRegex(said, r"Peek at \S*my_driver\.c:6, inlined in Deep at \S*my_driver\.c:15 \(mov ")
        self.assertRegex(said, r"called from Deep at \S*my_driver\.c:15 \(MyDriver\+0x[0-9a-f]+\)\n")
        self.assertRegex(said, r"called from OnMessage at \S*my_driver\.c:25 \(MyDriver\+0x[0-9a-f]+\)\n")
        self.assertNotIn(str(self.folder).encode(), image.read_bytes())
        moved = self.fault(image, "--source-map", f"{self.folder}/project=/moved")
        self.assertIn("Peek at /moved/my_driver.c:6", moved)

    def test_json_has_the_callers(self):
        done = subprocess.run([MMSIM, "send", "--json", "--image", str(self.sdk_driver()), "--to", HANDLER, "--hex", WILD],
                              capture_output=True, text=True, timeout=600, check=False)
        driver = json.loads(done.stdout)["drivers"][0]
        self.assertIn("Peek at ", driver["detail"])
        self.assertIn("OnMessage at ", driver["callers"][1])

    def test_without_a_symbolizer_there_is_one_note_and_the_map(self):
        image = self.sdk_driver()
        said = self.fault(image, environment=os.environ | {"MM_SYMBOLIZER": str(self.folder / "nothing")})
        self.assertIn("at image offset 0x", said)
        self.assertEqual(said.count("mmsim: note: "), 1)
        self.assertIn("Deep+0x", said)
        self.assertIn("called from OnMessage+0x", said)

    def test_without_debug_information_there_is_the_offset(self):
        image = self.sdk_driver()
        alone = self.folder / "alone"
        alone.mkdir()
        shutil.copy(image, alone)
        said = self.fault(alone / "MyDriver.efi")
        self.assertRegex(said, r"at image offset 0x[0-9a-f]+ \(mov ")
        self.assertIn("called from MyDriver+0x", said)
        self.assertNotIn("note", said)

    def test_a_fault_of_a_driver_ends_with_1(self):
        done = subprocess.run([MMSIM, "send", "--image", str(IMAGES / "FaultAtEntry.efi"), "--to", HANDLER, "--text", "x"],
                              capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, FAILED, done.stderr)

    def test_drivers_that_all_wait_end_with_1(self):
        done = subprocess.run([MMSIM, "send", "--image", f"{IMAGES / 'Waiting.efi'}:{IMAGES / 'Waiting.depex'}", "--to", HANDLER,
                               "--text", "x"], capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, FAILED, done.stderr)
        self.assertIn("nothing was dispatched", done.stderr)

    def test_source_map_needs_an_equals_sign(self):
        done = subprocess.run([MMSIM, "run", "--source-map", "here", str(ROOT / "scenarios/smoke/hello.toml")],
                              capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, BAD_INPUT)
        self.assertIn("--source-map here: write FROM=TO", done.stderr)

    def test_run_and_scan_tell_places(self):
        scenario = self.write("fault.toml", b'schema = 1\nimages = [{ driver = "FaultAtEntry" }]\n')
        done = subprocess.run([MMSIM, "run", str(scenario), "-v"], capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("mm_driver_main at scenarios/drivers/fault_at_entry.cpp:", done.stdout)
        done = subprocess.run([MMSIM, "scan", str(IMAGES / "PortBefore.efi")], capture_output=True, text=True, timeout=600,
                              check=False)
        self.assertRegex(done.stdout, r"\(file offset 0x[0-9a-f]+\) in \S+")


if __name__ == "__main__":
    unittest.main()
