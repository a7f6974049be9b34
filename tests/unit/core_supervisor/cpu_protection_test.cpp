// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/cpu_protection.hpp"

#include <gtest/gtest.h>

#include "tests/support/supervisor_world.hpp"

namespace mm::test {
namespace {

using namespace arch;
using namespace supervisor;

TEST(SmrrBlock, IsAnAlignedPowerOfTwo) {
  EXPECT_TRUE(is_smrr_block({0x0F00'0000, 0x100'0000}));
  EXPECT_TRUE(is_smrr_block({0x1000, 0x1000}));
  EXPECT_FALSE(is_smrr_block({0x0F00'0000, 0x50'0000}));
  EXPECT_FALSE(is_smrr_block({0x0F10'0000, 0x40'0000}));
  EXPECT_FALSE(is_smrr_block({0x1000, 0x800}));
  EXPECT_FALSE(is_smrr_block({1ull << 32, 0x1000}));
}

struct CpuProtection : ::testing::Test {
  fake::Machine machine;
  fake::Cpu cpu{machine, 0, true};
  Range const mmram{kMmram, kMmramBytes};
};

TEST_F(CpuProtection, NothingIsWrittenWhereNothingIsReported) {
  EXPECT_TRUE(protect_mmram(cpu, mmram, kMmram));
  cpu.msrs = {{kMsrMtrrCap, 0x508}, {kMsrSmrrMask, 0}, {kMsrSmrrBase, 0}, {kMsrVmxBasic, 0}, {kMsrSmmMcaCap, 0}};
  auto const before = cpu.msrs;
  EXPECT_TRUE(protect_mmram(cpu, mmram, kMmram));
  EXPECT_EQ(cpu.msrs, before);
}

TEST_F(CpuProtection, Smrr) {
  cpu.msrs = {{kMsrMtrrCap, kMtrrCapSmrr}, {kMsrSmrrMask, 0}, {kMsrSmrrBase, 0}};
  EXPECT_TRUE(protect_mmram(cpu, mmram, 0));
  EXPECT_EQ(cpu.msrs[kMsrSmrrBase], kMmram | 6);
  EXPECT_EQ(cpu.msrs[kMsrSmrrMask], 0xFF00'0800u);
  cpu.msrs[kMsrMtrrCap] |= kMtrrCapSmrrLock;
  EXPECT_TRUE(protect_mmram(cpu, mmram, 0));
  EXPECT_EQ(cpu.msrs[kMsrSmrrMask], 0xFF00'0C00u);
  cpu.msrs[kMsrSmrrBase] = 0x1234;
  EXPECT_TRUE(protect_mmram(cpu, mmram, 0));
  EXPECT_EQ(cpu.msrs[kMsrSmrrBase], 0x1234u) << "a locked SMRR is left alone";
}

TEST_F(CpuProtection, ReportedButRefused) {
  cpu.msrs = {{kMsrMtrrCap, kMtrrCapSmrr}};
  EXPECT_FALSE(protect_mmram(cpu, mmram, 0));
  cpu.msrs = {{kMsrMtrrCap, kMtrrCapSmrr}, {kMsrSmrrMask, 0}};
  EXPECT_FALSE(protect_mmram(cpu, mmram, 0));
  cpu.msrs = {{kMsrSmmMcaCap, kSmmCodeAccessCap}};
  EXPECT_FALSE(protect_mmram(cpu, mmram, 0));
  cpu.msrs = {{kMsrVmxBasic, 1}};
  EXPECT_FALSE(protect_mmram(cpu, mmram, kMmram));
}

TEST_F(CpuProtection, CodeCheckAndMseg) {
  cpu.msrs = {
      {kMsrSmmMcaCap, kSmmCodeAccessCap}, {kMsrSmmFeatureControl, 0x10}, {kMsrVmxBasic, 1}, {kMsrSmmMonitorControl, 0}};
  EXPECT_TRUE(protect_mmram(cpu, mmram, kMmram + 0x1000));
  EXPECT_EQ(cpu.msrs[kMsrSmmFeatureControl], 0x15u);
  EXPECT_EQ(cpu.msrs[kMsrSmmMonitorControl], kMmram + 0x1000) << "an empty MSEG is not VALID";
  hal::write_object(cpu, PhysAddr{kMmram + 0x1008}, u32{0x3F});
  EXPECT_TRUE(protect_mmram(cpu, mmram, kMmram + 0x1000));
  EXPECT_EQ(cpu.msrs[kMsrSmmMonitorControl], (kMmram + 0x1000) | 1);
}

TEST(CpuProtectionInMmi, EveryCpuInItsFirstMmi) {
  World w;
  w.cpu[0]->msrs = {{kMsrMtrrCap, kMtrrCapSmrr | kMtrrCapSmrrLock},
                    {kMsrSmrrMask, 0},
                    {kMsrSmrrBase, 0},
                    {kMsrVmxBasic, 1},
                    {kMsrSmmMonitorControl, 0}};
  w.map(kData + 0x3000, 0x2000, memory::kSupervisorReadOnly);
  w.add(guids::gMsegSmramGuid, abi::MmramDescriptor{kData + 0x3000, kData + 0x3000, 0x2000, 0});
  w.write_list();
  w.boot();
  EXPECT_FALSE(w.machine.halted);
  EXPECT_EQ(w.cpu[0]->msrs[kMsrSmrrBase], kMmram | 6);
  EXPECT_EQ(w.cpu[0]->msrs[kMsrSmmMonitorControl], kData + 0x3000);
}

TEST(CpuProtectionInMmi, MmramThatSmrrCannotCoverHalts) {
  World w;
  w.cpu[0]->msrs = {{kMsrMtrrCap, kMtrrCapSmrr}, {kMsrSmrrMask, 0}, {kMsrSmrrBase, 0}};
  w.edit<World::Mmram>(w.hob_of(guids::gEfiSmmSmramMemoryGuid),
                       [](World::Mmram& m) { m.regions[1].physical_size -= kPageSize; });
  w.write_list();
  w.boot();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::InitFailed);
  auto const halt = w.machine.of(hal::TraceKind::Halt).at(0);
  EXPECT_EQ(halt.b, static_cast<u64>(Status::Unsupported));
  EXPECT_EQ(halt.c, static_cast<u64>(InitProblem::SmrrRange));
  EXPECT_EQ(w.cpu[0]->msrs[kMsrSmrrMask], 0u);
}

TEST(CpuProtectionInMmi, RefusedProtectionHalts) {
  World w;
  w.cpu[0]->msrs = {{kMsrMtrrCap, kMtrrCapSmrr}};
  w.boot();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::InitFailed);
  EXPECT_EQ(w.machine.of(hal::TraceKind::Halt).at(0).c, static_cast<u64>(InitProblem::CpuProtection));
}

}  // namespace
}  // namespace mm::test
