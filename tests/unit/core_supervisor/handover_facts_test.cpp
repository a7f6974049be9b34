// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/unit/core_supervisor/spoilt.hpp"

namespace mm::test {
namespace {

using P = abi::PassDown;
using Mp = World::MpInformation;
using B = abi::MmCommBuffer;
using R = abi::MmCommonRegion;
using Region = abi::MmProtectedRegion;
using D = abi::MmramDescriptor;

TEST(Handover, PassDownMissing) {
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gMmSupervisorPassDownHobGuid)));
            }),
            InitProblem::PassDownMissing);
}

TEST(Handover, PassDownTwice) {
  EXPECT_EQ(with_hob(guids::gMmSupervisorPassDownHobGuid, P{}), InitProblem::PassDownTwice);
}

TEST(Handover, PassDownShort) {
  EXPECT_EQ(problem_of([](World& w) {
              auto& hob = w.hobs[w.hob_of(guids::gMmSupervisorPassDownHobGuid)];
              hob.resize(24 + 56);
              hob[2] = std::byte{24 + 56};
            }),
            InitProblem::PassDownShort);
}

TEST(Handover, PassDownRevision) {
  for (u32 const revision : {0u, 1u, 3u}) {
    EXPECT_EQ(with_pass_down([&](P& p) { p.revision = revision; }), InitProblem::PassDownRevision);
  }
}

TEST(Handover, PolicyMissing) {
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = 0; }), InitProblem::PolicyMissing);
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = 0; }), InitProblem::PolicyMissing);
}

TEST(Handover, PolicyOverflow) {
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = ~0ull; }), InitProblem::PolicyOverflow);
}

TEST(Handover, PolicyTooLarge) {
  EXPECT_EQ(with_pass_down([](P& p) { p.policy_size = policy::kMaxBytes + 1; }), InitProblem::PolicyTooLarge);
}

TEST(Handover, PolicyOutsideMmram) {
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = kMmram + kMmramBytes - 8; }), InitProblem::PolicyOutsideMmram);
}

TEST(Handover, PolicyPages) {
  EXPECT_EQ(with_pass_down([](P& p) { p.policy = kData; }), InitProblem::PolicyPages);
}

TEST(Handover, StackSize) {
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base += 8; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 0; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 0x1800; }), InitProblem::StackSize);
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = 1ull << 63; }, 2), InitProblem::StackSize);
}

TEST(Handover, StackOutsideMmram) {
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_per_core_stack_size = kMmramBytes; }), InitProblem::StackOutsideMmram);
}

TEST(Handover, StackOverlap) {
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base = kDriver + 0x3000; }), InitProblem::StackOverlap);
}

TEST(Handover, StackPages) {
  EXPECT_EQ(with_pass_down([](P& p) { p.cpl3_stack_base = kFree; }), InitProblem::StackPages);
  EXPECT_EQ(problem_of([](World& w) { w.map(kStacks + 0x1000, kPageSize, memory::kSupervisorData); }),
            InitProblem::StackPages);
}

TEST(Handover, SmbaseArray) {
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase += 4; }), InitProblem::SmbaseArray);
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase = kMmram + kMmramBytes - 8; }, 2), InitProblem::SmbaseArray);
}

TEST(Handover, DataPages) {
  EXPECT_EQ(with_pass_down([](P& p) { p.smbase = kStacks; }), InitProblem::DataPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = kStacks; }), InitProblem::DataPages);
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = kData + 0x1800; }), InitProblem::DataPages);
}

TEST(Handover, InitialisedBytes) {
  EXPECT_EQ(with_pass_down([](P& p) { p.mm_initialized = 0x1000; }), InitProblem::InitialisedBytes);
  EXPECT_EQ(problem_of([](World& w) { w.put(kData + 0x800, u8{1}); }), InitProblem::InitialisedBytes);
}

TEST(Handover, EntrySize) {
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 25; }), InitProblem::EntrySize);
  EXPECT_EQ(with_pass_down([](P& p) { p.mmi_entry_size = 0x7001; }), InitProblem::EntrySize);
}

TEST(Handover, ProcessorsMissing) {
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(guids::gMpInformationHobGuid)));
            }),
            InitProblem::ProcessorsMissing);
}

TEST(Handover, ProcessorsTwice) {
  EXPECT_EQ(with_hob(guids::gMpInformationHobGuid, World::MpInformation{{1, 1}, {}}), InitProblem::ProcessorsTwice);
}

TEST(Handover, ProcessorCount) {
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
}

TEST(Handover, ProcessorTwice) {
  EXPECT_EQ(with<Mp>(
                guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[1].processor_id = 0; }, 2),
            InitProblem::ProcessorTwice);
  EXPECT_EQ(with<Mp>(guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[0].processor_id = 0xFFFF'FFFF; }),
            InitProblem::ProcessorTwice);
}

TEST(Handover, CpuIndex) {
  EXPECT_EQ(with<Mp>(guids::gMpInformationHobGuid, [](Mp& m) { m.cpus[0].processor_id = 7; }), InitProblem::CpuIndex);
}

TEST(Handover, BufferMissing) {
  for (Guid const name : {guids::gMmCommBufferHobGuid, guids::gMmCommonRegionHobGuid}) {
    EXPECT_EQ(problem_of([&](World& w) { w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(name))); }),
              InitProblem::BufferMissing);
  }
}

TEST(Handover, BufferTwice) {
  EXPECT_EQ(with_hob(guids::gMmCommBufferHobGuid, B{0x1000, 1, 0x3000}), InitProblem::BufferTwice);
  EXPECT_EQ(with_hob(guids::gMmCommonRegionHobGuid, R{0, 0x1000, 1, 0x3000}), InitProblem::BufferTwice);
}

TEST(Handover, BufferType) {
  EXPECT_EQ(with_hob(guids::gMmCommonRegionHobGuid, R{1, 0x1000, 1, 0x3000}), InitProblem::BufferType);
}

TEST(Handover, BufferPages) {
  for (u64 const pages : {u64{0}, u64{0x1001}, ~u64{0}}) {
    EXPECT_EQ(with_user([&](B& b) { b.number_of_pages = pages; }), InitProblem::BufferPages);
  }
}

TEST(Handover, BufferAddress) {
  for (u64 const start : {u64{0}, u64{0x1001}, ~u64{0xFFF}, memory::kAddressLimit - kPageSize}) {
    EXPECT_EQ(with_user([&](B& b) { b.physical_start = start; }), InitProblem::BufferAddress) << start;
  }
}

TEST(Handover, BufferInMmram) {
  EXPECT_EQ(with_user([](B& b) { b.physical_start = kMmram - 0x1000; }), InitProblem::BufferInMmram);
}

TEST(Handover, MailboxAddress) {
  for (u64 const status : {u64{0}, u64{0x1004}, ~u64{7}}) {
    EXPECT_EQ(with_user([&](B& b) { b.status = status; }), InitProblem::MailboxAddress);
  }
}

TEST(Handover, MailboxInMmram) {
  EXPECT_EQ(with_user([](B& b) { b.status = kMmram - 8; }), InitProblem::MailboxInMmram);
}

TEST(Handover, BufferOverlap) {
  EXPECT_EQ(with_user([](B& b) { b.status = platform::kSupervisorCommStatus + 8; }), InitProblem::BufferOverlap);
  EXPECT_EQ(with_user([](B& b) { b.status = b.physical_start + 8; }), InitProblem::BufferOverlap);
  EXPECT_EQ(with_user([](B& b) { b.physical_start = platform::kSupervisorCommBuffer - 0x1000; }),
            InitProblem::BufferOverlap);
}

TEST(Handover, BufferPagesOpen) {
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kUserCommBuffer + 0x3000, kPageSize, memory::kUserData); }),
            InitProblem::BufferPagesOpen);
}

TEST(Handover, MailboxPagesOpen) {
  EXPECT_EQ(problem_of([](World& w) { w.map(platform::kUserCommStatus, kPageSize, {}); }),
            InitProblem::MailboxPagesOpen);
}

TEST(Handover, TestOptionsLength) {
  EXPECT_EQ(with_hob(abi::kTestOptionsHobGuid, abi::TestOptions{}), InitProblem::TestOptionsLength);
  EXPECT_EQ(problem_of([](World& w) {
              w.hobs.erase(w.hobs.begin() + static_cast<long>(w.hob_of(abi::kTestOptionsHobGuid)));
              w.add(abi::kTestOptionsHobGuid, std::array<u64, 2>{});
            }),
            InitProblem::TestOptionsLength);
}

TEST(Handover, ProtectedRegionType) {
  Guid const name = guids::gMmProtectedRegionHobGuid;
  EXPECT_EQ(with_hob(name, Region{1, 0xFED9'0000, 1}), InitProblem::ProtectedRegionType);
}

TEST(Handover, ProtectedRegionRange) {
  Guid const name = guids::gMmProtectedRegionHobGuid;
  for (Region const r : {Region{0, 0, 1}, Region{0, 0x1001, 1}, Region{0, 0x1000, 0}, Region{0, 0x1000, ~0ull},
                         Region{0, kMmram - 0x1000, 2}}) {
    EXPECT_EQ(with_hob(name, r), InitProblem::ProtectedRegionRange);
  }
}

TEST(Handover, ProtectedRegionPages) {
  Guid const name = guids::gMmProtectedRegionHobGuid;
  EXPECT_EQ(with_hob(name, Region{0, 0xFED9'0000, 1}), InitProblem::ProtectedRegionPages);
}

TEST(Handover, UnblockRegion) {
  Guid const open = guids::gMmSupvUnblockRegionHobGuid;
  for (auto const& p :
       {unblock(0, 1), unblock(0x1001, 1), unblock(0x1000, 0), unblock(kMmram, 1), unblock(~0xFFFull, 2)}) {
    EXPECT_EQ(with_hob(open, p), InitProblem::UnblockRegion);
  }
  EXPECT_EQ(with_hob(open, abi::UnblockMemoryParams{unblock(0x1000, 1).descriptor, {}}), InitProblem::UnblockRegion);
}

TEST(Handover, UnblockPages) {
  Guid const open = guids::gMmSupvUnblockRegionHobGuid;
  EXPECT_EQ(with_hob(open, unblock(platform::kUserCommBuffer, 1)), InitProblem::UnblockPages);
  EXPECT_EQ(problem_of([&](World& w) {
              w.map(platform::kScratch, 0x2000, memory::kUserData);
              w.add(open, unblock(platform::kScratch, 1));
              w.add(open, unblock(platform::kScratch, 2));
            }),
            InitProblem::UnblockPages);
}

TEST(Handover, Mseg) {
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

}  // namespace
}  // namespace mm::test
