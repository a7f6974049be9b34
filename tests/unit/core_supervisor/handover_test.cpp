// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/core_supervisor/world.hpp"

namespace mm::test {
namespace {

using supervisor::InitProblem;

/// The problems that some test of this file has produced: the last test wants all of them.
std::set<InitProblem>& seen() {
  static std::set<InitProblem> set;
  return set;
}

/// Problem that stops the first MMI of a world in which one thing is wrong.
template <typename F>
InitProblem problem_of(F&& spoil, u32 cpus = 1) {
  World w(cpus);
  Script s(*w.cpu[0]);
  spoil(w);
  w.write_list();
  w.boot();
  EXPECT_TRUE(s.contexts.empty());
  auto const halts = w.machine.of(hal::TraceKind::Halt);
  if (halts.size() != 1 || w.machine.halted != hal::HaltReason::InitFailed) {
    ADD_FAILURE() << "no refusal";
    return InitProblem{};
  }
  auto const problem = static_cast<InitProblem>(halts[0].c);
  EXPECT_EQ(halts[0].b, static_cast<u64>(supervisor::status_of(problem)));
  seen().insert(problem);
  return problem;
}
/// The same with one GUID HOB changed.
template <typename T, typename F>
InitProblem with(Guid name, F&& change, u32 cpus = 1) {
  return problem_of([&](World& w) { w.edit<T>(w.hob_of(name), change); }, cpus);
}
template <typename F>
InitProblem with_pass_down(F&& change, u32 cpus = 1) {
  return with<abi::PassDown>(guids::gMmSupervisorPassDownHobGuid, change, cpus);
}
template <typename F>
InitProblem with_mmram(F&& change) {
  return with<World::Mmram>(guids::gEfiSmmSmramMemoryGuid, change);
}
template <typename F>
InitProblem with_user(F&& change) {
  return with<abi::MmCommBuffer>(guids::gMmCommBufferHobGuid, change);
}
/// The same with one HOB more.
template <typename... T>
InitProblem with_hob(T const&... hob) {
  return problem_of([&](World& w) { w.add(hob...); });
}
template <typename F>
InitProblem with_module(u64 index, F&& change) {
  return problem_of([&](World& w) { w.edit<abi::HobMemoryAllocationModule>(index, change, 0); });
}
constexpr std::size_t kCoreHob = 1, kUserHob = 2, kDriverHob = 3;

abi::HobResourceDescriptor resource(u64 base, u64 bytes, u32 type = 0, Guid owner = {}) {
  abi::HobResourceDescriptor r;
  r.physical_start = base;
  r.resource_length = bytes;
  r.resource_type = type;
  r.owner = owner;
  return r;
}
struct Resource2 {
  abi::HobResourceDescriptor v1;
  u64 attributes = 0;
};
Resource2 resource2(u64 base, u64 bytes, u64 attributes, u32 type = 0) {
  Resource2 r{resource(base, bytes, type), attributes};
  r.v1.header.type = static_cast<u16>(abi::HobType::ResourceDescriptor2);
  r.v1.header.length = sizeof(r);
  return r;
}
abi::HobFv volume(u64 base, u64 bytes) {
  abi::HobFv fv;
  fv.base = base;
  fv.length = bytes;
  return fv;
}
struct Allocation {
  abi::HobHeader header{static_cast<u16>(abi::HobType::MemoryAllocation), 48, 0};
  Guid name;
  u64 base = 0;
  u64 bytes = 0;
  u64 type = 0;
};
abi::UnblockMemoryParams unblock(u64 base, u64 pages, u64 attribute = 0) {
  return {{6, 0, base, 0, pages, attribute}, "22222222-2222-3333-4444-555555555555"_guid};
}

TEST(Handover, GoodOneBoots) {
  World w(2);
  Script s(*w.cpu[0]);
  w.add(resource(0x1000, 0x1000));
  w.add(resource(0x1000, 0x1000, 2));                                        // I/O is a kind of its own
  w.add(resource(0x1000, 0x1000, 0, guids::gEfiMemoryTypeInformationGuid));  // a memory bin is no resource
  w.add(resource2(0x1000, 0x1000, 8));                                       // so is version 2
  w.add(resource2(0x1000, 0x1000, 0, 2));
  w.add(volume(0x100'0000, 0x1000));
  w.add(volume(kMmram, 0x1000));
  w.add(Allocation{.name = {}, .base = 0x1000, .bytes = kMmram - 0x1000});
  w.add(guids::gMmProtectedRegionHobGuid, abi::MmProtectedRegion{0, 0xFED9'0000, 1});
  w.map(0xFED9'0000, kPageSize, memory::kUserReadOnly);
  w.add(guids::gMmSupvUnblockRegionHobGuid, unblock(platform::kScratch, 2));
  w.add(guids::gMmSupvUnblockRegionHobGuid, unblock(platform::kScratch + 0x10000, 2, abi::kMemorySp));
  w.map(platform::kScratch, 0x2000, memory::kUserData);
  w.write_list();
  w.cpu[1]->on_pause = [&] { w.cpu[1]->on_pause = {}; };
  w.boot();
  EXPECT_NE(w.machine.halted, hal::HaltReason::InitFailed);
  EXPECT_EQ(*w.tables().query_uniform({platform::kScratch + 0x10000, 0x2000}), memory::kSupervisorData);
}

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

TEST(Handover, List) {
  EXPECT_EQ(problem_of([](World& w) { w.machine.protected_mmram = {}; }), InitProblem::MmramUnprotected);
  World w;
  w.sup.enter(*w.cpu[0], 0, PhysAddr{kHobs + 4});
  EXPECT_EQ(w.machine.of(hal::TraceKind::Halt).at(0).c, static_cast<u64>(InitProblem::ListAddress));
  seen().insert(InitProblem::ListAddress);
  // Inside what the chipset protects, but not inside the regions of the HOB.
  EXPECT_EQ(problem_of([](World& x) {
              x.machine.protected_mmram = {kMmram, kMmramBytes};
              x.edit<World::Mmram>(x.hob_of(guids::gEfiSmmSmramMemoryGuid), [](World::Mmram& m) {
                m.count = 1;
                m.regions[0] = {kHobs + 0x1000, 0, kFree - kHobs - 0x1000, 0};
              });
            }),
            InitProblem::ListOutsideMmram);
  EXPECT_EQ(problem_of([](World& x) { x.map(kHobs, kPageSize, {}); }), InitProblem::ListPages);
  EXPECT_EQ(problem_of([](World& x) { x.map(kHobs, kPageSize, memory::kUserReadOnly); }), InitProblem::ListPages);
  EXPECT_EQ(problem_of([](World& x) { x.hobs[0][0] = std::byte{2}; }), InitProblem::NoHandoff);
  for (u16 const length : {u16{0}, u16{7}, u16{20}, u16{25}}) {
    EXPECT_EQ(with_hob(abi::HobGuid{{4, length, 0}, {}}), InitProblem::HobLength) << length;
  }
  for (u16 const type : {u16{2}, u16{3}, u16{5}, u16{0xD}}) {
    EXPECT_EQ(with_hob(abi::HobHeader{type, 16, 0}), InitProblem::HobLength) << type;
  }
  EXPECT_EQ(with_hob(abi::HobHeader{0xFFFF, 7, 0}), InitProblem::HobLength);
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

TEST(Handover, Mmram) {
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gEfiSmmSmramMemoryGuid)));
            }),
            InitProblem::MmramMissing);
  EXPECT_EQ(with_hob(guids::gEfiSmmSmramMemoryGuid, World::Mmram{}), InitProblem::MmramTwice);
  EXPECT_EQ(with_hob(guids::gEfiMmPeiMmramMemoryReserveGuid, World::Mmram{}), InitProblem::MmramTwice);
  for (u32 const count : {0u, 3u, 257u, ~0u}) {
    EXPECT_EQ(with_mmram([&](World::Mmram& m) { m.count = count; }), InitProblem::MmramCount) << count;
  }
  using D = abi::MmramDescriptor;
  for (D const d : {D{kMmram, 0, 0, 0}, D{kMmram + 1, 0, 0x1000, 0}, D{kMmram, 0, 0x1001, 0},
                    D{kMmram, 0, ~0xFFFull, 0}, D{1ull << 32, 0, 0x1000, 0}}) {
    EXPECT_EQ(with_mmram([&](World::Mmram& m) { m.regions[0] = d; }), InitProblem::MmramRegion);
  }
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_start -= 0x1000; }), InitProblem::MmramGap);
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_start += 0x1000; }), InitProblem::MmramGap);
  EXPECT_EQ(with_mmram([](World::Mmram& m) { m.regions[1].physical_size += 0x1000; }),
            InitProblem::MmramBeyondProtected);
  EXPECT_EQ(with_mmram([](World::Mmram& m) {
              m.regions[0].physical_start -= 0x1000;
              m.regions[0].physical_size += 0x1000;
            }),
            InitProblem::MmramBeyondProtected);
  EXPECT_EQ(problem_of([](World& w) { w.machine.code = 0x1234; }), InitProblem::MmramWithoutSupervisor);
}

TEST(Handover, Allocations) {
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
  EXPECT_EQ(with_hob(Allocation{.name = guids::gMmSupervisorHobMemoryAllocModuleGuid}), InitProblem::HobLength);
}

TEST(Handover, Modules) {
  using Module = abi::HobMemoryAllocationModule;
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = 0; }), InitProblem::ModuleLength);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = ~0xFFFull; }), InitProblem::ModuleLength);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.base = 0x1000; }), InitProblem::ModuleOutsideMmram);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = kMmramBytes; }), InitProblem::ModuleOutsideMmram);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.length = 0x3001; }), InitProblem::ModuleAlignment);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.entry_point = m.base - 1; }), InitProblem::ModuleEntry);
  EXPECT_EQ(with_module(kDriverHob, [](Module& m) { m.entry_point = m.base + m.length; }), InitProblem::ModuleEntry);
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
  EXPECT_EQ(with_hob(World::module(guids::gMmSupervisorCoreGuid, kFree)), InitProblem::CoreTwice);
  EXPECT_EQ(with_hob(World::module(guids::gMmSupervisorUserGuid, kFree)), InitProblem::UserCoreTwice);
  EXPECT_EQ(with_module(kCoreHob,
                        [](Module& m) {
                          m.base = kFree;
                          m.entry_point = m.base;
                        }),
            InitProblem::CoreIsAnother);
  EXPECT_EQ(problem_of([](World& w) { w.hobs.erase(w.hobs.begin() + kCoreHob); }), InitProblem::CoreMissing);
  EXPECT_EQ(problem_of([](World& w) { w.hobs.erase(w.hobs.begin() + kUserHob); }), InitProblem::UserCoreMissing);
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

TEST(Handover, ModulePages) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x2000, kPageSize, memory::kUserCode); }),
            InitProblem::SupervisorPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x2000, kPageSize, {}); }), InitProblem::SupervisorPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kUserCore, kPageSize, memory::kSupervisorCode); }), InitProblem::UserPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kDriver + 0x3000, kPageSize, {}); }), InitProblem::UserPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x1000, kPageSize, memory::kSupervisorReadOnly); }),
            InitProblem::EntryPage);
  EXPECT_EQ(problem_of([](World& w) { w.map(kDriver + 0x1000, kPageSize, memory::kUserData); }),
            InitProblem::EntryPage);
}

TEST(Handover, Tables) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kFree + 0x2000, kPageSize, {true, true, true, true}); }),
            InitProblem::WritableCode);
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kScratch, kPageSize, memory::kUserCode); }),
            InitProblem::CodeOutsideMmram);
  EXPECT_EQ(problem_of([](World& w) { w.map(0, kPageSize, memory::kSupervisorReadOnly); }), InitProblem::NullPage);
  EXPECT_EQ(problem_of([](World& w) { w.map(kTables, kPageSize, memory::kSupervisorData); }), InitProblem::TablePages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kTables, kPageSize, memory::kUserReadOnly); }), InitProblem::TablePages);
}

TEST(Handover, PagesBeyondTheAddressesOfTheCpu) {
  for (u32 const bits : {36u, 40u, 46u}) {
    auto const problem = [bits](u64 at) {
      return problem_of([&](World& w) {
        w.cpu[0]->address_bits = bits;
        w.map(at, kPageSize, memory::kUserData);
      });
    };
    EXPECT_EQ(problem(1ull << bits), InitProblem::AddressBits);
    EXPECT_EQ(problem(memory::kAddressLimit - kPageSize), InitProblem::AddressBits);
    World w;
    w.cpu[0]->address_bits = bits;
    w.map((1ull << bits) - kPageSize, kPageSize, memory::kUserData);
    w.boot();
    EXPECT_FALSE(w.machine.halted);
  }
}

/// The page is cut out of a region in use and called free: whatever is mapped there would be given to ring 3.
void call_free(World& w, u64 page) {
  struct {
    u32 count = 4;
    u32 pad = 0;
    abi::MmramDescriptor regions[4];
  } mmram;
  mmram.regions[0] = {kMmram, kMmram, page - kMmram, 0x1A};
  mmram.regions[1] = {page, page, kPageSize, 0x0A};
  mmram.regions[2] = {page + kPageSize, page + kPageSize, kFree - page - kPageSize, 0x1A};
  mmram.regions[3] = {kFree, kFree, kMmram + kMmramBytes - kFree, 0x0A};
  auto const index = w.hob_of(guids::gEfiSmmSmramMemoryGuid);
  w.hobs.erase(w.hobs.begin() + static_cast<std::ptrdiff_t>(index));
  w.add(guids::gEfiSmmSmramMemoryGuid, mmram);
}

TEST(Handover, NoPageInUseIsFree) {
  for (u64 page = kMmram + kPageSize; page + kPageSize < kFree; page += kPageSize) {
    ASSERT_EQ(problem_of([page](World& w) { call_free(w, page); }), InitProblem::FreePages) << std::hex << page;
  }
}

/// Ring 3 would be given the page that ends the stack of another CPU.
TEST(Handover, AGuardPageIsNotFree) {
  EXPECT_EQ(problem_of(
                [](World& w) {
                  w.map(kStacks + kStackBytes, kPageSize, {});
                  call_free(w, kStacks + kStackBytes);
                },
                2),
            InitProblem::FreePages);
}

TEST(Handover, Resources) {
  EXPECT_EQ(with_hob(resource(~0xFFFull, 0x2000)), InitProblem::ResourceRange);
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
  for (u64 const attributes : {u64{0}, u64{3}, u64{0x18}}) {
    EXPECT_EQ(with_hob(resource2(0x1000, 0x1000, attributes)), InitProblem::ResourceAttributes);
  }
  EXPECT_EQ(with_hob(resource2(0x1000, 0x1000, 1, 2)), InitProblem::ResourceAttributes);
  EXPECT_EQ(problem_of([](World& w) {
              w.map(kHobs, 0x1'0000, memory::kSupervisorData);
              for (u64 i = 0; i < 129; ++i) {
                w.add(resource(0x10'0000 + i * 0x1000, 0x1000));
              }
              w.map(kCore, kPageSize, memory::kSupervisorReadOnly);
            }),
            InitProblem::ResourceCount);
}

TEST(Handover, Volumes) {
  EXPECT_EQ(with_hob(volume(0x1000, 0)), InitProblem::VolumeRange);
  EXPECT_EQ(with_hob(volume(~0xFFFull, 0x2000)), InitProblem::VolumeRange);
  EXPECT_EQ(with_hob(volume(kMmram - 0x1000, 0x2000)), InitProblem::VolumeRange);
  EXPECT_EQ(problem_of([](World& w) {
              w.add(volume(0x1000, 0x2000));
              w.add(volume(0x2000, 0x2000));
            }),
            InitProblem::VolumeOverlap);
}

TEST(Handover, PassDown) {
  using P = abi::PassDown;
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gMmSupervisorPassDownHobGuid)));
            }),
            InitProblem::PassDownMissing);
  EXPECT_EQ(with_hob(guids::gMmSupervisorPassDownHobGuid, P{}), InitProblem::PassDownTwice);
  EXPECT_EQ(problem_of([](World& w) {
              auto& hob = w.hobs[w.hob_of(guids::gMmSupervisorPassDownHobGuid)];
              hob.resize(24 + 56);
              hob[2] = std::byte{24 + 56};
            }),
            InitProblem::PassDownShort);
  for (u32 const revision : {0u, 1u, 3u}) {
    EXPECT_EQ(with_pass_down([&](P& p) { p.revision = revision; }), InitProblem::PassDownRevision);
  }
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = 0; }), InitProblem::PolicyMissing);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = 0; }), InitProblem::PolicyMissing);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = ~0ull; }), InitProblem::PolicyOverflow);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = policy::kMaxBytes + 1; }), InitProblem::PolicyTooLarge);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = kMmram + kMmramBytes - 8; }), InitProblem::PolicyOutsideMmram);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = kData; }), InitProblem::PolicyPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base += 8; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 0; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 0x1800; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 1ull << 63; }, 2), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = kMmramBytes; }), InitProblem::StackOutsideMmram);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base = kDriver + 0x3000; }), InitProblem::StackOverlap);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base = kFree; }), InitProblem::StackPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kStacks + 0x1000, kPageSize, memory::kSupervisorData); }),
            InitProblem::StackPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase += 4; }), InitProblem::SmbaseArray);
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase = kMmram + kMmramBytes - 8; }, 2), InitProblem::SmbaseArray);
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase = kStacks; }), InitProblem::DataPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = 0x1000; }), InitProblem::InitialisedBytes);
  EXPECT_EQ(problem_of([](World& w) { w.put(kData + 0x800, u8{1}); }), InitProblem::InitialisedBytes);
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = kStacks; }), InitProblem::DataPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = kData + 0x1800; }), InitProblem::DataPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 25; }), InitProblem::EntrySize);
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 0x7001; }), InitProblem::EntrySize);
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 0x1001; }), InitProblem::EntryPage);
}

TEST(Handover, SaveStates) {
  auto const smbase = [](u64 value, u32 cpus = 1) {
    return problem_of([&](World& w) { w.put(kData + (cpus - 1) * 8, value); }, cpus);
  };
  EXPECT_EQ(smbase(kMmram + 8), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram + (1ull << 32)), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram + kMmramBytes - 0xF000), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram, 2), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram - 0x7000, 2), InitProblem::Smbase);  // its save state is the entry code of the other
  EXPECT_EQ(problem_of([](World& w) { w.map(kMmram + 0x8000, kPageSize, memory::kSupervisorData); }),
            InitProblem::EntryPage);
  EXPECT_EQ(problem_of([](World& w) { w.map(kMmram + 0xF000, kPageSize, memory::kUserData); }),
            InitProblem::SaveStatePages);
}

TEST(Handover, Processors) {
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gMpInformationHobGuid)));
            }),
            InitProblem::ProcessorsMissing);
  EXPECT_EQ(with_hob(guids::gMpInformationHobGuid, World::MpInformation{{1, 1}, {}}), InitProblem::ProcessorsTwice);
  using Mp = World::MpInformation;
  for (u64 const count : {u64{0}, u64{platform::kMaxCpus + 1}, ~u64{0}}) {
    EXPECT_EQ(with<Mp>(guids::gMpInformationHobGuid, [&](Mp& m) { m.header.number_of_processors = count; }),
              InitProblem::ProcessorCount);
  }
  EXPECT_EQ(problem_of([](World& w) {
              auto& hob = w.hobs[w.hob_of(guids::gMpInformationHobGuid)];
              hob.resize(24 + 16 + 40);
              hob[2] = std::byte{24 + 16 + 40};
              hob[3] = {};
            }),
            InitProblem::ProcessorCount);
  EXPECT_EQ(with<Mp>(
                guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[1].processor_id = 0; }, 2),
            InitProblem::ProcessorTwice);
  EXPECT_EQ(with<Mp>(guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[0].processor_id = 0xFFFF'FFFF; }),
            InitProblem::ProcessorTwice);
  EXPECT_EQ(with<Mp>(guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[0].processor_id = 7; }), InitProblem::CpuIndex);
}

TEST(Handover, Channels) {
  for (Guid const name : {guids::gMmCommBufferHobGuid, guids::gMmCommonRegionHobGuid}) {
    EXPECT_EQ(problem_of([&](World& w) { w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(name))); }),
              InitProblem::BufferMissing);
    EXPECT_EQ(with_hob(name, u64{0}), InitProblem::HobLength);
  }
  using B = abi::MmCommBuffer;
  using R = abi::MmCommonRegion;
  EXPECT_EQ(with_hob(guids::gMmCommBufferHobGuid, B{0x1000, 1, 0x3000}), InitProblem::BufferTwice);
  EXPECT_EQ(with_hob(guids::gMmCommonRegionHobGuid, R{0, 0x1000, 1, 0x3000}), InitProblem::BufferTwice);
  EXPECT_EQ(with_hob(guids::gMmCommonRegionHobGuid, R{1, 0x1000, 1, 0x3000}), InitProblem::BufferType);
  for (u64 const pages : {u64{0}, u64{0x1001}, ~u64{0}}) {
    EXPECT_EQ(with_user([&](B& b) { b.number_of_pages = pages; }), InitProblem::BufferPages);
  }
  for (u64 const start : {u64{0}, u64{0x1001}, ~u64{0xFFF}, memory::kAddressLimit - kPageSize}) {
    EXPECT_EQ(with_user([&](B& b) { b.physical_start = start; }), InitProblem::BufferAddress) << start;
  }
  EXPECT_EQ(with_user([](B& b) { b.physical_start = kMmram - 0x1000; }), InitProblem::BufferInMmram);
  for (u64 const status : {u64{0}, u64{0x1004}, ~u64{7}}) {
    EXPECT_EQ(with_user([&](B& b) { b.status = status; }), InitProblem::MailboxAddress);
  }
  EXPECT_EQ(with_user([](B& b) { b.status = kMmram - 8; }), InitProblem::MailboxInMmram);
  EXPECT_EQ(with_user([](B& b) { b.status = platform::kSupervisorCommStatus + 8; }), InitProblem::BufferOverlap);
  EXPECT_EQ(with_user([](B& b) { b.status = b.physical_start + 8; }), InitProblem::BufferOverlap);
  EXPECT_EQ(with_user([](B& b) { b.physical_start = platform::kSupervisorCommBuffer - 0x1000; }),
            InitProblem::BufferOverlap);
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kUserCommBuffer + 0x3000, kPageSize, memory::kUserData); }),
            InitProblem::BufferPagesOpen);
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kUserCommStatus, kPageSize, {}); }),
            InitProblem::MailboxPagesOpen);
}

TEST(Handover, Options) {
  EXPECT_EQ(with_hob(abi::kTestOptionsHobGuid, abi::TestOptions{}), InitProblem::TestOptionsLength);
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(abi::kTestOptionsHobGuid)));
              w.add(abi::kTestOptionsHobGuid, std::array<u64, 2>{});
            }),
            InitProblem::TestOptionsLength);
}

TEST(Handover, Windows) {
  using Region = abi::MmProtectedRegion;
  Guid const name = guids::gMmProtectedRegionHobGuid;
  EXPECT_EQ(with_hob(name, u64{0}), InitProblem::HobLength);
  EXPECT_EQ(with_hob(name, Region{1, 0xFED9'0000, 1}), InitProblem::ProtectedRegionType);
  for (Region const r : {Region{0, 0, 1}, Region{0, 0x1001, 1}, Region{0, 0x1000, 0}, Region{0, 0x1000, ~0ull},
                         Region{0, kMmram - 0x1000, 2}}) {
    EXPECT_EQ(with_hob(name, r), InitProblem::ProtectedRegionRange);
  }
  EXPECT_EQ(with_hob(name, Region{0, 0xFED9'0000, 1}), InitProblem::ProtectedRegionPages);
  Guid const open = guids::gMmSupvUnblockRegionHobGuid;
  EXPECT_EQ(with_hob(open, u64{0}), InitProblem::HobLength);
  for (auto const& p :
       {unblock(0, 1), unblock(0x1001, 1), unblock(0x1000, 0), unblock(kMmram, 1), unblock(~0xFFFull, 2)}) {
    EXPECT_EQ(with_hob(open, p), InitProblem::UnblockRegion);
  }
  EXPECT_EQ(with_hob(open, abi::UnblockMemoryParams{unblock(0x1000, 1).descriptor, {}}), InitProblem::UnblockRegion);
  EXPECT_EQ(with_hob(open, unblock(platform::kUserCommBuffer, 1)), InitProblem::UnblockPages);
  EXPECT_EQ(problem_of([&](World& w) {
              w.map(platform::kScratch, 0x2000, memory::kUserData);
              w.add(open, unblock(platform::kScratch, 1));
              w.add(open, unblock(platform::kScratch, 2));
            }),
            InitProblem::UnblockPages);
}

TEST(Handover, Mseg) {
  using D = abi::MmramDescriptor;
  Guid const name = guids::gMsegSmramGuid;
  EXPECT_EQ(problem_of([&](World& w) {
              w.add(name, D{});
              w.add(name, D{});
            }),
            InitProblem::MsegTwice);
  EXPECT_EQ(with_hob(name, D{kData, kData, 0x1000, 0}), InitProblem::MsegPages);
  for (D const d : {D{}, D{kData, kData + 8, 0x1000, 0}, D{0x1000, 0x1000, 0x1000, 0}, D{kData, kData, 0x1800, 0}}) {
    World w;
    w.add(name, d);
    w.write_list();
    w.boot();
    EXPECT_FALSE(w.machine.halted);
  }
}

TEST(Handover, MemoryRunsOut) {
  auto const with_free = [](u64 pages) {
    return problem_of([&](World& w) {
      w.edit<World::Mmram>(w.hob_of(guids::gEfiSmmSmramMemoryGuid),
                           [&](World::Mmram& m) { m.regions[1].physical_size = pages << kPageShift; });
    });
  };
  u64 const bookkeeping = memory::PageAllocator::kTablePages + 3;
  EXPECT_EQ(with_free(1), InitProblem::AllocatorMemory);
  EXPECT_EQ(with_free(bookkeeping + 31), InitProblem::BufferMemory);
  EXPECT_EQ(with_free(bookkeeping + 32), InitProblem::BufferMemory);
  EXPECT_EQ(with_free(bookkeeping + 33), InitProblem::UserListMemory);
}

TEST(Handover, EveryProblemHasATextAndATest) {
  for (auto const& row : supervisor::kInitProblems) {
    EXPECT_STRNE(supervisor::describe(row.problem), "unknown problem");
    EXPECT_TRUE(row.problem >= InitProblem::CpuProtection || seen().contains(row.problem)) << row.text;
  }
  EXPECT_EQ(std::size(supervisor::kInitProblems), static_cast<std::size_t>(InitProblem::SmrrRange));
  EXPECT_STREQ(supervisor::describe(InitProblem{0}), "unknown problem");
  EXPECT_EQ(supervisor::status_of(InitProblem{0}), Status::CompromisedData);
}

}  // namespace
}  // namespace mm::test
