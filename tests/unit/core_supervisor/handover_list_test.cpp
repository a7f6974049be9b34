// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/unit/core_supervisor/spoilt.hpp"

namespace mm::test {
namespace {

using D = abi::MmramDescriptor;
using Module = abi::HobMemoryAllocationModule;

TEST(Handover, NothingIsReadOutsideTheProtectedMemory) {
  for (u64 const at :
       {u64{0x1000}, kMmram - 8, kMmram + kMmramBytes, kMmram + kMmramBytes - 8, platform::kUserCommBuffer, ~u64{7}}) {
    World w;
    w.machine.reads.clear();
    w.sup.enter(*w.cpu[0], 0, PhysAddr{at});
    EXPECT_EQ(w.machine.halted, hal::HaltReason::InitFailed);
    EXPECT_EQ(w.machine.of(hal::TraceKind::Halt).at(0).c, static_cast<u64>(InitProblem::ListOutsideMmram));
    for (Range const r : w.machine.reads) {
      EXPECT_FALSE(r.overlaps({at, 8})) << at;
    }
  }
}

TEST(Handover, MmramUnprotected) {
  EXPECT_EQ(problem_of([](World& w) { w.machine.protected_mmram = {}; }), InitProblem::MmramUnprotected);
}

TEST(Handover, ListAddress) {
  World w;
  w.sup.enter(*w.cpu[0], 0, PhysAddr{kHobs + 4});
  EXPECT_EQ(w.machine.of(hal::TraceKind::Halt).at(0).c, static_cast<u64>(InitProblem::ListAddress));
  seen().insert(InitProblem::ListAddress);
}

TEST(Handover, ListOutsideMmram) {
  // Inside what the chipset protects, but not inside the regions of the HOB.
  EXPECT_EQ(problem_of([](World& x) {
              x.machine.protected_mmram = {kMmram, kMmramBytes};
              x.edit<World::Mmram>(x.hob_of(guids::gEfiSmmSmramMemoryGuid), [](World::Mmram& m) {
                m.count = 1;
                m.regions[0] = {kHobs + 0x1000, 0, kFree - kHobs - 0x1000, 0};
              });
            }),
            InitProblem::ListOutsideMmram);
}

TEST(Handover, ListPages) {
  EXPECT_EQ(problem_of([](World& x) { x.map(kHobs, kPageSize, {}); }), InitProblem::ListPages);
  EXPECT_EQ(problem_of([](World& x) { x.map(kHobs, kPageSize, memory::kUserReadOnly); }), InitProblem::ListPages);
}

TEST(Handover, NoHandoff) {
  EXPECT_EQ(problem_of([](World& x) { x.hobs[0][0] = std::byte{2}; }), InitProblem::NoHandoff);
}

TEST(Handover, HobLength) {
  for (u16 const length : {u16{0}, u16{7}, u16{20}, u16{25}}) {
    EXPECT_EQ(with_hob(abi::HobGuid{{4, length, 0}, {}}), InitProblem::HobLength) << length;
  }
  for (u16 const type : {u16{2}, u16{3}, u16{5}, u16{0xD}}) {
    EXPECT_EQ(with_hob(abi::HobHeader{type, 16, 0}), InitProblem::HobLength) << type;
  }
  EXPECT_EQ(with_hob(abi::HobHeader{0xFFFF, 7, 0}), InitProblem::HobLength);
}

TEST(Handover, HobLengthOfAModule) {
  EXPECT_EQ(with_hob(Allocation{.name = guids::gMmSupervisorHobMemoryAllocModuleGuid}), InitProblem::HobLength);
}

TEST(Handover, HobLengthOfAPayload) {
  for (Guid const name : {guids::gMmCommBufferHobGuid, guids::gMmCommonRegionHobGuid, guids::gMmProtectedRegionHobGuid,
                          guids::gMmSupvUnblockRegionHobGuid}) {
    EXPECT_EQ(with_hob(name, u64{0}), InitProblem::HobLength);
  }
}

TEST(Handover, HobTruncated) {
  EXPECT_EQ(problem_of([](World& x) {  // HOBs without end up to the end of MMRAM
              x.map(kHobs, kMmram + kMmramBytes - kHobs, memory::kSupervisorReadOnly);
              for (u64 at = kHobs + 56; at < kHobs + memory::kHobListLimit + 0x2'0000; at += 0xFFF8) {
                x.put(at, abi::HobHeader{0xFFFE, 0xFFF8, 0});
              }
              x.hobs.resize(1);
              x.hobs[0].resize(56 + 8);
              x.hobs[0][56] = std::byte{0xFE};
              x.hobs[0][57] = x.hobs[0][59] = std::byte{0xFF};
              x.hobs[0][58] = std::byte{0xF8};
            }),
            InitProblem::HobTruncated);
}

TEST(Handover, MmramMissing) {
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gEfiSmmSmramMemoryGuid)));
            }),
            InitProblem::MmramMissing);
}

TEST(Handover, MmramTwice) {
  EXPECT_EQ(with_hob(guids::gEfiSmmSmramMemoryGuid, World::Mmram{}), InitProblem::MmramTwice);
  EXPECT_EQ(with_hob(guids::gEfiMmPeiMmramMemoryReserveGuid, World::Mmram{}), InitProblem::MmramTwice);
}

TEST(Handover, MmramCount) {
  for (u32 const count : {0u, 3u, 257u, ~0u}) {
    EXPECT_EQ(with_mmram([&](World::Mmram& m) { m.count = count; }), InitProblem::MmramCount) << count;
  }
}

TEST(Handover, MmramRegion) {
  for (D const d : {D{kMmram, 0, 0, 0}, D{kMmram + 1, 0, 0x1000, 0}, D{kMmram, 0, 0x1001, 0},
                    D{kMmram, 0, ~0xFFFull, 0}, D{1ull << 32, 0, 0x1000, 0}}) {
    EXPECT_EQ(with_mmram([&](World::Mmram& m) { m.regions[0] = d; }), InitProblem::MmramRegion);
  }
}

TEST(Handover, MmramGap) {
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_start -= 0x1000; }), InitProblem::MmramGap);
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_start += 0x1000; }), InitProblem::MmramGap);
}

TEST(Handover, MmramBeyondProtected) {
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_size += 0x1000; }),
            InitProblem::MmramBeyondProtected);
  EXPECT_EQ(with_mmram([](World::Mmram& m) {
              m.regions[0].physical_start -= 0x1000;
              m.regions[0].physical_size += 0x1000;
            }),
            InitProblem::MmramBeyondProtected);
}

TEST(Handover, MmramWithoutSupervisor) {
  EXPECT_EQ(problem_of([](World& w) { w.machine.code = 0x1234; }), InitProblem::MmramWithoutSupervisor);
}

TEST(Handover, AllocationInMmram) {
  for (auto const& [base, bytes] : {std::pair{kMmram, u64{8}},
                                    {kMmram - 8, u64{9}},
                                    {kMmram + kMmramBytes - 1, u64{1}},
                                    {u64{0}, ~u64{0}},
                                    {~u64{0}, u64{2}}}) {
    EXPECT_EQ(with_hob(Allocation{.name = {}, .base = base, .bytes = bytes}), InitProblem::AllocationInMmram);
  }
  abi::HobMemoryAllocationModule init = World::module(guids::gMmSupervisorInitGuid, kFree);
  init.name = guids::gEfiHobMemoryAllocModuleGuid;
  EXPECT_EQ(with_hob(init), InitProblem::AllocationInMmram);
}

TEST(Handover, ModuleLength) {
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = 0; }), InitProblem::ModuleLength);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = ~0xFFFull; }), InitProblem::ModuleLength);
}

TEST(Handover, ModuleOutsideMmram) {
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.base = 0x1000; }), InitProblem::ModuleOutsideMmram);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = kMmramBytes; }), InitProblem::ModuleOutsideMmram);
}

TEST(Handover, ModuleAlignment) {
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = 0x3001; }), InitProblem::ModuleAlignment);
}

TEST(Handover, ModuleEntry) {
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.entry_point = m.base - 1; }), InitProblem::ModuleEntry);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.entry_point = m.base + m.length; }), InitProblem::ModuleEntry);
}

TEST(Handover, ModuleOverlap) {
  EXPECT_EQ(with_module(kDriverHob,
                        [](Module& m) {
                          m.base = kUserCore + 0x3000;
                          m.entry_point = m.base;
                        }),
            InitProblem::ModuleOverlap);
  EXPECT_EQ(with_module(kDriverHob,
                        [](Module& m) {
                          m.base = kCore + 0x3000;
                          m.entry_point = m.base;
                        }),
            InitProblem::ModuleOverlap);
}

TEST(Handover, CoreTwice) {
  EXPECT_EQ(with_hob(World::module(guids::gMmSupervisorCoreGuid, kFree)), InitProblem::CoreTwice);
}

TEST(Handover, UserCoreTwice) {
  EXPECT_EQ(with_hob(World::module(guids::gMmSupervisorUserGuid, kFree)), InitProblem::UserCoreTwice);
}

TEST(Handover, CoreIsAnother) {
  EXPECT_EQ(with_module(kCoreHob,
                        [](Module& m) {
                          m.base = kFree;
                          m.entry_point = m.base;
                        }),
            InitProblem::CoreIsAnother);
}

TEST(Handover, CoreMissing) {
  EXPECT_EQ(problem_of([](World& w) { w.hobs.erase(w.hobs.begin() + kCoreHob); }), InitProblem::CoreMissing);
}

TEST(Handover, UserCoreMissing) {
  EXPECT_EQ(problem_of([](World& w) { w.hobs.erase(w.hobs.begin() + kUserHob); }), InitProblem::UserCoreMissing);
}

TEST(Handover, ModuleCount) {
  EXPECT_EQ(problem_of([](World& w) {
              for (u64 i = 0; i < supervisor::kMaxImages; ++i) {
                Module m = World::module("11111111-2222-3333-4444-555555555555"_guid, kFree + i * 0x1000);
                m.length = 0x1000;
                m.entry_point = m.base;
                w.add(m);
              }
              w.map(kHobs, 0x1'0000, memory::kSupervisorData);
              w.map(kCore, 0x8'0000, memory::kSupervisorData);
            }),
            InitProblem::ModuleCount);
}

TEST(Handover, ResourceRange) { EXPECT_EQ(with_hob(resource(~0xFFFull, 0x2000)), InitProblem::ResourceRange); }

TEST(Handover, ResourceOverlap) {
  for (u32 const type : {0u, 2u}) {
    EXPECT_EQ(problem_of([&](World& w) {
                w.add(resource(0x1000, 0x2000, type));
                w.add(resource(0x2000, 0x2000, type));
              }),
              InitProblem::ResourceOverlap);
  }
  EXPECT_EQ(problem_of([](World& w) {
              w.add(resource2(0x1000, 0x2000, 8));
              w.add(resource2(0x2000, 0x2000, 8));
            }),
            InitProblem::ResourceOverlap);
}

TEST(Handover, ResourceAttributes) {
  for (u64 const attributes : {u64{0}, u64{3}, u64{0x18}}) {
    EXPECT_EQ(with_hob(resource2(0x1000, 0x1000, attributes)), InitProblem::ResourceAttributes);
  }
  EXPECT_EQ(with_hob(resource2(0x1000, 0x1000, 1, 2)), InitProblem::ResourceAttributes);
}

TEST(Handover, ResourceCount) {
  EXPECT_EQ(problem_of([](World& w) {
              w.map(kHobs, 0x1'0000, memory::kSupervisorData);
              for (u64 i = 0; i < 129; ++i) {
                w.add(resource(0x10'0000 + i * 0x1000, 0x1000));
              }
              w.map(kCore, kPageSize, memory::kSupervisorReadOnly);
            }),
            InitProblem::ResourceCount);
}

TEST(Handover, VolumeRange) {
  EXPECT_EQ(with_hob(volume(0x1000, 0)), InitProblem::VolumeRange);
  EXPECT_EQ(with_hob(volume(~0xFFFull, 0x2000)), InitProblem::VolumeRange);
  EXPECT_EQ(with_hob(volume(kMmram - 0x1000, 0x2000)), InitProblem::VolumeRange);
}

TEST(Handover, VolumeOverlap) {
  EXPECT_EQ(problem_of([](World& w) {
              w.add(volume(0x1000, 0x2000));
              w.add(volume(0x2000, 0x2000));
            }),
            InitProblem::VolumeOverlap);
}

}  // namespace
}  // namespace mm::test
