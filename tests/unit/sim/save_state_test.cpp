// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <cstring>

#include "core/arch/msr.hpp"
#include "tests/support/simulated_world.hpp"

namespace mm::sim {
namespace {

using namespace test;

constexpr u32 kSmbase = 0x40'0000;
constexpr u64 kMap = kSmbase + arch::save_state::kOffset;

/// A machine whose CPUs have their SMBASE at kSmbase, 1 MiB apart.
struct Placed : World {
  explicit Placed(u32 cpus, Profile profile = Profile::Q35Tcg, SaveStateLayout layout = SaveStateLayout::Amd64)
      : World(cpus, 1, 0, profile, layout) {
    SimMachine::Placement placement{.cr3 = kTables, .gdt0 = kGdt, .smbase = {}};
    for (u32 i = 0; i < cpus; ++i) {
      placement.smbase[i] = kSmbase + (u64{i} << 20);
    }
    EXPECT_TRUE(machine.place(placement).has_value());
  }
  template <typename T>
  T field(u64 at, u32 cpu = 0) {
    return hal::read_object<T>(machine.ram(), PhysAddr{kMap + (u64{cpu} << 20) + at});
  }
  template <typename T>
  void set(u64 at, T value) {
    hal::write_object(machine.ram(), PhysAddr{kMap + at}, value);
  }
};

NormalCpu numbered() {
  NormalCpu c = NormalCpu::boot_processor();
  for (u64 i = 0; i < 16; ++i) {
    c.general[i] = 0x1111'1111'1111'1111 * i;
  }
  c.rip = 0xFFFF'8000'1234'5678;
  c.gdt.base = 0x1'2345'6789;
  c.segments[4].base = 0x77;
  return c;
}

TEST(SaveStateMap, BothLayoutsGiveBackWhatTheyTook) {
  for (auto const layout : {SaveStateLayout::Amd64, SaveStateLayout::Intel}) {
    std::array<std::byte, arch::save_state::kBytes> area{};
    NormalCpu const before = numbered();
    NormalCpu after = before;
    write_save_state(area, before, nullptr, {layout, true});
    after.general.fill(0);
    after.rip = after.gdt.base = after.cr0 = 0;
    EXPECT_FALSE(read_save_state(area, after, {layout, true}));
    EXPECT_EQ(after.general, before.general);
    EXPECT_EQ(after.rip, before.rip);
    EXPECT_EQ(after.gdt.base, before.gdt.base);
    EXPECT_EQ(after.cr0, before.cr0);
    EXPECT_EQ(after.segments, before.segments);
  }
}

u32 word_at(std::array<std::byte, arch::save_state::kBytes> const& area, u64 at) {
  u32 v = 0;
  std::memcpy(&v, area.data() + at, 4);
  return v;
}

TEST(SaveStateMap, IoRecordSaysWhatTheInstructionDid) {
  std::array<std::byte, arch::save_state::kBytes> area{};
  IoInstruction const out{0xB2, 1, steps::TrappedForm::kImmediate, 2};
  IoInstruction const in{0x1234, 2, steps::TrappedForm::kIn, 2};
  write_save_state(area, numbered(), &out, {SaveStateLayout::Intel, true});
  EXPECT_EQ(word_at(area, 0x3A4), 0x00B2'0083u);
  EXPECT_EQ(word_at(area, 0x2FC), 0x3'0004u);
  EXPECT_EQ(word_at(area, 0x1E8), 0x1234'5676u) << "the instruction itself";
  write_save_state(area, numbered(), &in, {SaveStateLayout::Intel, true});
  EXPECT_EQ(word_at(area, 0x3A4), 0x1234'0015u);
  write_save_state(area, numbered(), &out, {SaveStateLayout::Amd64, true});
  EXPECT_EQ(word_at(area, 0x2C0), 0x00B2'0012u);
  EXPECT_EQ(word_at(area, 0x2FC), 0x3'0064u);
  write_save_state(area, numbered(), &in, {SaveStateLayout::Amd64, true});
  EXPECT_EQ(word_at(area, 0x2C0), 0x1234'0023u);
}

TEST(SaveStateMap, StringInstructionsAreMarked) {
  std::array<std::byte, arch::save_state::kBytes> area{};
  IoInstruction const outs{0xB2, 1, steps::TrappedForm::kString, 1};
  write_save_state(area, numbered(), &outs, {SaveStateLayout::Intel, true});
  EXPECT_EQ(word_at(area, 0x3A4), 0x00B2'0023u);
  write_save_state(area, numbered(), &outs, {SaveStateLayout::Amd64, true});
  EXPECT_EQ(word_at(area, 0x2C0), 0x00B2'0016u);
}

TEST(SaveStateMap, QemuWritesNoRecord) {
  std::array<std::byte, arch::save_state::kBytes> area;
  area.fill(std::byte{0xCC});
  IoInstruction const out{0xB2, 1, 0, 1};
  write_save_state(area, numbered(), &out, {SaveStateLayout::Amd64, false});
  EXPECT_EQ(word_at(area, 0x2C0), 0xCCCC'CCCCu);
  EXPECT_EQ(word_at(area, 0x2C8) & 0xFFFF, 0xCCCCu);
  EXPECT_EQ(word_at(area, 0x2FC), 0x2'0064u);
  EXPECT_EQ(word_at(area, 0x374), 0xCCCC'CCCCu) << "RFLAGS has 32 bits";
}

TEST(SaveState, RsmLoadsWhatMmChanged) {
  Placed w(1);
  w.machine.cpu(0).normal() = numbered();
  w.machine.cpu(0).normal().smbase = kSmbase;
  w.body = [&w](SimMachine::Cpu&) {
    EXPECT_EQ(w.field<u64>(0x3E0), 0x3333'3333'3333'3333u) << "RBX";
    w.set<u64>(0x3E0, 0x77);
    w.set<u64>(0x378, 0x9000);
  };
  w.machine.deliver(1);
  EXPECT_EQ(w.machine.cpu(0).normal().general[3], 0x77u);
  EXPECT_EQ(w.machine.cpu(0).normal().rip, 0x9000u);
  EXPECT_EQ(w.machine.cpu(0).normal().general[1], 0x1111'1111'1111'1111u);
}

TEST(SaveState, SmbaseMovesAtRsmOnly) {
  Placed w(2);
  constexpr u64 kOther = kMap + 0x10'0000 + 0x300;
  w.body = [&w](SimMachine::Cpu& cpu) {
    if (cpu.index() == 1) {
      EXPECT_EQ(w.field<u32>(0x300, 1), kSmbase + 0x10'0000);
      hal::write_object(w.machine.ram(), PhysAddr{kOther}, kSmbase + 0x20'0000);
    }
  };
  w.machine.deliver(3);
  EXPECT_EQ(w.machine.cpu(0).normal().smbase, kSmbase);
  EXPECT_EQ(w.machine.cpu(1).normal().smbase, kSmbase + 0x20'0000);
  std::vector<u32> served;
  w.body = [&served](SimMachine::Cpu& cpu) { served.push_back(cpu.index()); };
  w.machine.deliver(3);
  EXPECT_EQ(w.field<u32>(0x300, 2), kSmbase + 0x20'0000) << "the map is at the new SMBASE";
  EXPECT_EQ(served, std::vector<u32>{0}) << "no entry code is there: the other CPU does not come";
}

TEST(SaveState, HaltRestartDecidesWhetherTheCpuStaysInHlt) {
  for (auto const layout : {SaveStateLayout::Amd64, SaveStateLayout::Intel}) {
    u64 const at = layout == SaveStateLayout::Intel ? 0x302 : 0x2C9;
    std::array<std::byte, arch::save_state::kBytes> area{};
    NormalCpu cpu = NormalCpu::waiting(1);
    write_save_state(area, cpu, nullptr, {layout, true});
    EXPECT_NE(area[at], std::byte{0});
    read_save_state(area, cpu, {layout, true});
    EXPECT_TRUE(cpu.halted);
    area[at] = std::byte{0};
    read_save_state(area, cpu, {layout, true});
    EXPECT_FALSE(cpu.halted);
    cpu.settle(1);
    EXPECT_TRUE(cpu.halted) << "the ROM's loop goes back to HLT";
  }
}

TEST(SaveState, IoRestartIsHonouredWhereItExists) {
  for (auto const profile : {Profile::Q35Tcg, Profile::Reference}) {
    Placed w(1, profile);
    w.body = [&w](SimMachine::Cpu&) { w.set<u8>(0x2C8, 0xFF); };
    IoInstruction const out{0xB2, 1, 0, 1};
    w.machine.deliver(1, &out);
    EXPECT_EQ(w.machine.cpu(0).take_io_restart(), profile == Profile::Reference);
    EXPECT_FALSE(w.machine.cpu(0).take_io_restart());
  }
}

TEST(SaveState, ResetBringsBackTheProgram) {
  Placed w(1);
  w.machine.snapshot();
  w.body = [&w](SimMachine::Cpu&) { w.set<u64>(0x3E0, 0x77); };
  w.machine.deliver(1);
  EXPECT_EQ(w.machine.cpu(0).normal().general[3], 0x77u);
  w.machine.reset();
  EXPECT_EQ(w.machine.cpu(0).normal().general[3], 0u);
}

TEST(MsrFile, ReferenceFaultsWhereQ35ReadsZero) {
  MsrFile q35(Profile::Q35Tcg, true);
  MsrFile reference(Profile::Reference, true);
  EXPECT_EQ(q35.read(0x12345, CpuWorld::Mm), 0u);
  EXPECT_TRUE(q35.write(0x12345, 1, CpuWorld::Mm).has_value());
  EXPECT_EQ(q35.read(0x12345, CpuWorld::Mm), 0u);
  EXPECT_EQ(reference.read(0x12345, CpuWorld::Mm).error(), Status::Unsupported);
  EXPECT_EQ(reference.write(0x12345, 1, CpuWorld::Mm).error(), Status::Unsupported);
  EXPECT_EQ(reference.write(arch::kMsrMtrrCap, 0, CpuWorld::Mm).error(), Status::Unsupported) << "read-only";
  EXPECT_EQ(reference.write(arch::kMsrEfer, 2, CpuWorld::Mm).error(), Status::Unsupported) << "reserved bit";
  EXPECT_EQ(q35.read(arch::kMsrSmbase, CpuWorld::Mm), 0u);
  EXPECT_EQ(reference.read(arch::kMsrSmbase, CpuWorld::Normal).error(), Status::Unsupported);
}

TEST(MsrFile, SmrrIsProgrammedInMmOnly) {
  MsrFile m(Profile::Reference, true);
  EXPECT_NE(m.read(arch::kMsrMtrrCap, CpuWorld::Mm).value_or(0) & arch::kMtrrCapSmrr, 0u);
  EXPECT_FALSE(m.write(arch::kMsrSmrrBase, 0x0F00'0006, CpuWorld::Normal).has_value());
  EXPECT_FALSE(m.write(arch::kMsrSmrrBase, 0x0F00'0106, CpuWorld::Mm).has_value()) << "reserved bit";
  EXPECT_TRUE(m.write(arch::kMsrSmrrBase, 0x0F00'0006, CpuWorld::Mm).has_value());
  EXPECT_TRUE(m.write(arch::kMsrSmrrMask, 0xFF00'0000, CpuWorld::Mm).has_value());
  EXPECT_EQ(m.smrr(), Range{}) << "not valid yet";
  EXPECT_TRUE(m.write(arch::kMsrSmrrMask, 0xFF00'0800, CpuWorld::Mm).has_value());
  EXPECT_EQ(m.smrr(), (Range{0x0F00'0000, 0x0100'0000}));
  EXPECT_FALSE(m.write(arch::kMsrApicBase, 0x0F01'0800, CpuWorld::Normal).has_value()) << "the APIC page over SMRR";
  EXPECT_TRUE(m.write(arch::kMsrApicBase, 0x0E00'0800, CpuWorld::Normal).has_value());
  EXPECT_EQ(m.apic_base(), 0x0E00'0900u) << "the BSP flag cannot be written";
  EXPECT_TRUE(m.write(arch::kMsrSmrrMask, 0xFF00'0C00, CpuWorld::Mm).has_value());
  EXPECT_FALSE(m.write(arch::kMsrSmrrMask, 0, CpuWorld::Mm).has_value()) << "locked";
  EXPECT_FALSE(m.write(arch::kMsrSmrrBase, 6, CpuWorld::Mm).has_value());
  MsrFile q35(Profile::Q35Tcg, true);
  EXPECT_TRUE(q35.write(arch::kMsrSmrrMask, 0xFF00'0800, CpuWorld::Mm).has_value()) << "ignored";
  EXPECT_EQ(q35.smrr(), Range{});
}

TEST(MsrFile, MonitorControlIsWrittenInMmOnly) {
  MsrFile m(Profile::Reference, true);
  EXPECT_NE(m.read(arch::kMsrVmxBasic, CpuWorld::Mm).value_or(0), 0u);
  EXPECT_FALSE(m.write(arch::kMsrVmxBasic, 0, CpuWorld::Mm).has_value());
  EXPECT_FALSE(m.write(arch::kMsrSmmMonitorControl, 0x0FFC'0001, CpuWorld::Normal).has_value());
  EXPECT_FALSE(m.write(arch::kMsrSmmMonitorControl, 0x0FFC'0003, CpuWorld::Mm).has_value()) << "reserved bit";
  EXPECT_TRUE(m.write(arch::kMsrSmmMonitorControl, 0x0FFC'0001, CpuWorld::Mm).has_value());
  EXPECT_EQ(m.read(arch::kMsrSmmMonitorControl, CpuWorld::Normal), 0x0FFC'0001u);
  MsrFile const q35(Profile::Q35Tcg, true);
  EXPECT_EQ(q35.read(arch::kMsrVmxBasic, CpuWorld::Mm), 0u) << "no VMX";
}

TEST(MsrFile, CodeAccessCheckIsLockedByItsLock) {
  MsrFile m(Profile::Reference, true);
  EXPECT_EQ(m.read(arch::kMsrSmmMcaCap, CpuWorld::Mm), arch::kSmmCodeAccessCap);
  EXPECT_FALSE(m.read(arch::kMsrSmmMcaCap, CpuWorld::Normal).has_value());
  EXPECT_FALSE(m.code_check());
  EXPECT_TRUE(
      m.write(arch::kMsrSmmFeatureControl, arch::kSmmCodeCheck | arch::kSmmFeatureLock, CpuWorld::Mm).has_value());
  EXPECT_TRUE(m.code_check());
  EXPECT_FALSE(m.write(arch::kMsrSmmFeatureControl, 0, CpuWorld::Mm).has_value());
  EXPECT_TRUE(m.code_check());
}

}  // namespace
}  // namespace mm::sim
