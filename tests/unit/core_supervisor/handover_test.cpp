// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/unit/core_supervisor/spoilt.hpp"

namespace mm::test {
namespace {

using P = abi::PassDown;

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

TEST(Handover, SupervisorPages) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x2000, kPageSize, memory::kUserCode); }),
            InitProblem::SupervisorPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x2000, kPageSize, {}); }), InitProblem::SupervisorPages);
}

TEST(Handover, UserPages) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kUserCore, kPageSize, memory::kSupervisorCode); }), InitProblem::UserPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kDriver + 0x3000, kPageSize, {}); }), InitProblem::UserPages);
}

TEST(Handover, EntryPage) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kCore + 0x1000, kPageSize, memory::kSupervisorReadOnly); }),
            InitProblem::EntryPage);
  EXPECT_EQ(problem_of([](World& w) { w.map(kDriver + 0x1000, kPageSize, memory::kUserData); }),
            InitProblem::EntryPage);
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 0x1001; }), InitProblem::EntryPage);
  EXPECT_EQ(problem_of([](World& w) { w.map(kMmram + 0x8000, kPageSize, memory::kSupervisorData); }),
            InitProblem::EntryPage);
}

TEST(Handover, WritableCode) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kFree + 0x2000, kPageSize, {true, true, true, true}); }),
            InitProblem::WritableCode);
}

TEST(Handover, CodeOutsideMmram) {
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kScratch, kPageSize, memory::kUserCode); }),
            InitProblem::CodeOutsideMmram);
}

TEST(Handover, NullPage) {
  EXPECT_EQ(problem_of([](World& w) { w.map(0, kPageSize, memory::kSupervisorReadOnly); }), InitProblem::NullPage);
}

TEST(Handover, TablePages) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kTables, kPageSize, memory::kSupervisorData); }), InitProblem::TablePages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kTables, kPageSize, memory::kUserReadOnly); }), InitProblem::TablePages);
}

TEST(Handover, Smbase) {
  auto const smbase = [](u64 value, u32 cpus = 1) {
    return problem_of([&](World& w) { w.put(kData + (cpus - 1) * 8, value); }, cpus);
  };
  EXPECT_EQ(smbase(kMmram + 8), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram + (1ull << 32)), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram + kMmramBytes - 0xF000), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram, 2), InitProblem::Smbase);
  EXPECT_EQ(smbase(kMmram - 0x7000, 2), InitProblem::Smbase);  // its save state is the entry code of the other
}

TEST(Handover, SaveStatePages) {
  EXPECT_EQ(problem_of([](World& w) { w.map(kMmram + 0xF000, kPageSize, memory::kUserData); }),
            InitProblem::SaveStatePages);
}

TEST(Handover, AllocatorMemory) {
  auto const with_free = [](u64 pages) {
    return problem_of([&](World& w) {
      w.edit<World::Mmram>(w.hob_of(guids::gEfiSmmSmramMemoryGuid),
                           [&](World::Mmram& m) { m.regions[1].physical_size = pages << kPageShift; });
    });
  };
  EXPECT_EQ(with_free(1), InitProblem::AllocatorMemory);
}

TEST(Handover, BufferMemory) {
  auto const with_free = [](u64 pages) {
    return problem_of([&](World& w) {
      w.edit<World::Mmram>(w.hob_of(guids::gEfiSmmSmramMemoryGuid),
                           [&](World::Mmram& m) { m.regions[1].physical_size = pages << kPageShift; });
    });
  };
  u64 const bookkeeping = memory::PageAllocator::kTablePages + 3;
  EXPECT_EQ(with_free(bookkeeping + 31), InitProblem::BufferMemory);
  EXPECT_EQ(with_free(bookkeeping + 32), InitProblem::BufferMemory);
}

TEST(Handover, UserListMemory) {
  auto const with_free = [](u64 pages) {
    return problem_of([&](World& w) {
      w.edit<World::Mmram>(w.hob_of(guids::gEfiSmmSmramMemoryGuid),
                           [&](World::Mmram& m) { m.regions[1].physical_size = pages << kPageShift; });
    });
  };
  u64 const bookkeeping = memory::PageAllocator::kTablePages + 3;
  EXPECT_EQ(with_free(bookkeeping + 33), InitProblem::UserListMemory);
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
