// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/policy_blob.hpp"
#include "tests/support/supervisor_world.hpp"

namespace mm::test {
namespace {

using abi::Channel;

/// Every instruction allowed, and no save-state root: every register may be read.
std::vector<u8> permissive() {
  return Blob::make({{4, 0, {Blob::instruction(0, 4), Blob::instruction(1, 4), Blob::instruction(2, 4)}}, {1, 1, {}}});
}

struct Registers : ::testing::Test {
  static constexpr u64 kState = kMmram + 0xFC00;
  static constexpr u64 kBuffer = kStacks + 0x100;
  static constexpr u64 kToken = 0xABC;

  Registers() {
    w.set_policy(permissive());
    w.boot();
  }
  std::optional<u64> call(u64 number, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    std::optional<u64> rax;
    s.steps.push_back(Script::call(number, a1, a2, a3));
    s.steps.push_back([&rax](hal::UserContext& c) {
      rax = c.rax;
      return Script::ret(c, 0);
    });
    w.mmi();
    return rax;
  }
  Status read(u64 reg, u64 width) {
    w.put(kBuffer, u64{0});
    EXPECT_EQ(call(0x7, kToken, reg, 0), 0u);
    return static_cast<Status>(call(0x10021, kToken, width, kBuffer).value_or(0xDEAD));
  }
  u64 value(u64 reg, u64 width) {
    EXPECT_EQ(read(reg, width), Status::Success) << reg;
    return w.get<u64>(kBuffer);
  }
  World w;
  Script s{*w.cpu[0]};
};

TEST_F(Registers, AmdMap) {
  w.put(kState + 0x2FC, u32{0x00020064});
  struct Field {
    u64 reg, offset, bytes;
  };
  for (auto const& [reg, offset, bytes] :
       {Field{4, 0x268, 8}, {5, 0x288, 8},  {6, 0x278, 8},  {7, 0x264, 2},  {8, 0x284, 2},
        {9, 0x274, 4},      {20, 0x200, 2}, {26, 0x270, 2}, {27, 0x290, 2}, {28, 0x360, 8},
        {29, 0x368, 8},     {30, 0x3B8, 8}, {37, 0x380, 8}, {39, 0x3E0, 8}, {40, 0x3F0, 8},
        {41, 0x3E8, 8},     {42, 0x3D8, 8}, {43, 0x3D0, 8}, {44, 0x3C8, 8}, {45, 0x3C0, 8},
        {46, 0x378, 8},     {51, 0x370, 8}, {52, 0x358, 8}, {53, 0x350, 8}, {54, 0x348, 8}}) {
    u64 const pattern = 0x1122'3344'5566'7700 + reg;
    w.put(kState + offset, pattern);
    EXPECT_EQ(value(reg, bytes), bytes == 8 ? pattern : pattern & ((u64{1} << 8 * bytes) - 1)) << reg;
  }
  EXPECT_EQ(value(513, 1), 64u);
  EXPECT_EQ(read(513, 4), Status::InvalidParameter);
  EXPECT_EQ(read(10, 4), Status::NotFound);
  EXPECT_EQ(read(7, 4), Status::InvalidParameter);
}

TEST_F(Registers, IntelMap) {
  w.put(kState + 0x2FC, u32{0x00030100});
  w.put(kState + 0x374, u64{0x39});
  w.put(kState + 0x3A8, u32{0x1234'5678});
  w.put(kState + 0x240, u32{0x620});
  EXPECT_EQ(value(39, 8), 0x39u);
  EXPECT_EQ(value(20, 4), 0x1234'5678u);
  EXPECT_EQ(value(54, 4), 0x620u);
  EXPECT_EQ(read(54, 8), Status::InvalidParameter);
  EXPECT_EQ(read(4, 8), Status::NotFound) << "no GDT base in one piece";
  EXPECT_EQ(value(513, 1), 32u);
  w.put(kState + 0x3E0, u64{1 << 10});
  EXPECT_EQ(value(513, 1), 64u);
}

TEST_F(Registers, IntelTraps) {
  w.put(kState + 0x2FC, u32{0x00030100});
  w.put(kState + 0x35C, u64{0x1122'3344'5566'7788});
  struct Trap {
    u32 word;
    bool good;
    u32 type;
    u64 data;
  };
  for (auto const& t :
       {Trap{0x00B2'0003, true, 2, 0x88}, Trap{0x00B2'0015, true, 1, 0x7788}, Trap{0x0CF8'0089, true, 2, 0x5566'7788},
        Trap{0x0060'0093, true, 1, 0x88}, Trap{0x00B2'0002, false, 0, 0}, Trap{0x00B2'0023, false, 0, 0},
        Trap{0x00B2'0073, false, 0, 0}, Trap{0x00B2'0007, false, 0, 0}, Trap{0x00B2'0001, false, 0, 0}}) {
    w.put(kState + 0x3A4, t.word);
    EXPECT_EQ(read(512, 24), t.good ? Status::Success : Status::NotFound) << t.word;
    if (t.good) {
      EXPECT_EQ(w.get<u64>(kBuffer), t.data);
      EXPECT_EQ(w.get<u16>(kBuffer + 8), t.word >> 16);
      EXPECT_EQ(w.get<u32>(kBuffer + 16), t.type);
    }
  }
}

TEST_F(Registers, AmdTrapWidths) {
  w.put(kState + 0x2FC, u32{0x00020064});
  w.put(kState + 0x3F8, u64{0x1122'3344'5566'7788});
  for (auto const& [word, width, data] : {std::tuple{0x00B2'0013u, 0u, u64{0x88}},
                                          {0x00B2'0022u, 1u, u64{0x7788}},
                                          {0x00B2'0042u, 2u, u64{0x5566'7788}}}) {
    w.put(kState + 0x2C0, word);
    EXPECT_EQ(read(512, 24), Status::Success);
    EXPECT_EQ(w.get<u32>(kBuffer + 12), width);
    EXPECT_EQ(w.get<u64>(kBuffer), data);
  }
}

TEST_F(Registers, PhaseTwoWithoutToken) {
  EXPECT_FALSE(call(0x10021, 0, 8, kBuffer));
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SyscallRefused);
}

TEST_F(Registers, AllowedInstructions) {
  EXPECT_EQ(call(0x2), 0u);
  EXPECT_EQ(call(0x5), 0u);
  EXPECT_EQ(w.cpu[0]->cli_count, 1u);
  EXPECT_EQ(w.cpu[0]->wbinvd_count, 1u);
  EXPECT_FALSE(call(0x6)) << "HLT, whatever the policy says";
  EXPECT_EQ(w.cpu[0]->hlt_count, 0u);
}

TEST_F(Registers, PointersInTheFirstPageAreNobodys) {
  EXPECT_FALSE(call(0x1001C, 0x800));
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SyscallRefused);
}

/// VERSION_INFO of a world whose supervisor has this PE header.
Status version_result(u16 dos, u32 pe_offset, u32 pe, u16 magic) {
  World w;
  w.put(kCore, dos);
  w.put(kCore + 0x3C, pe_offset);
  w.put(kCore + 0x80, pe);
  w.put(kCore + 0x80 + 24, magic);
  w.put(kCore + 0x80 + 24 + 44, u32{0x0002'0001});
  w.put(kCore + 0x80 + 24 + 48, u32{0x0017'0001});
  Script s(*w.cpu[0]);
  w.boot();
  auto message = Blob::bytes({{abi::kRequestSignature, 4}, {1, 4}, {3, 4}, {0, 4}, {0, 8}, {0, 8}, {0, 8}});
  w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message);
  w.mmi();
  u64 const at = platform::kSupervisorCommBuffer + 24;
  auto const result = w.get<Status>(at + 16);
  if (result == Status::Success) {
    EXPECT_EQ(w.get<u32>(at + 24), 0x0001'0017u);
    EXPECT_EQ(w.get<u32>(at + 28), 0x0001'0002u);
    EXPECT_EQ(w.get<u64>(at + 32), 4u);
  }
  return result;
}

TEST(VersionInfo, ComesFromThePeHeader) {
  EXPECT_EQ(version_result(0x5A4D, 0x80, 0x4550, 0x20B), Status::Success);
  EXPECT_EQ(version_result(0x5A4E, 0x80, 0x4550, 0x20B), Status::CompromisedData);
  EXPECT_EQ(version_result(0x5A4D, 0x80, 0x4551, 0x20B), Status::CompromisedData);
  EXPECT_EQ(version_result(0x5A4D, 0x80, 0x4550, 0x10B), Status::CompromisedData);
  EXPECT_EQ(version_result(0x5A4D, 0xFFFF'FF00, 0x4550, 0x20B), Status::CompromisedData);
}

/// One supervisor request in a world of its own.
struct Requests : ::testing::Test {
  Requests() { w.boot(); }
  Status result(u32 request, std::vector<u8> const& payload) {
    auto message = Blob::bytes({{abi::kRequestSignature, 4}, {1, 4}, {request, 4}, {0, 4}, {0, 8}});
    message.insert(message.end(), payload.begin(), payload.end());
    w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message);
    w.mmi();
    return w.get<Status>(platform::kSupervisorCommBuffer + 24 + 16);
  }
  Status unblock(u64 base, u64 pages) {
    return result(1, Blob::bytes({{6, 8}, {base, 8}, {0, 8}, {pages, 8}, {0, 8}, {1, 8}, {0, 8}}));
  }
  World w;
  Script s{*w.cpu[0]};
};

TEST_F(Requests, ShorterThanTheEnvelope) {
  w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, std::vector<u8>(23, 0xEE));
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(w.status(Channel::Supervisor).return_buffer_size, 24u + 23);
}

TEST_F(Requests, UnblockTrackerIsFull) {
  for (u64 i = 0; i < memory::UnblockTracker::kCapacity; ++i) {
    EXPECT_EQ(unblock(platform::kScratch + i * 0x2000, 1), Status::Success);
  }
  EXPECT_EQ(unblock(platform::kScratch + 0x80'0000, 1), Status::OutOfResources);
  EXPECT_FALSE(w.tables().query(platform::kScratch + 0x80'0000));
  EXPECT_EQ(unblock(platform::kScratch, 1), Status::Success) << "the same again needs no room";
}

TEST_F(Requests, UnblockOfMoreThanTheTablesCouldMap) {
  EXPECT_EQ(unblock(1ull << 40, 1ull << 20), Status::OutOfResources);
  EXPECT_FALSE(w.tables().query(1ull << 40));
}

TEST(Fetch, PolicyWithoutMemRoot) {
  World w;
  w.set_policy(Blob::make({{4, 0, {Blob::instruction(0, 4)}}}));
  Script s(*w.cpu[0]);
  w.boot();
  auto message = Blob::bytes({{abi::kRequestSignature, 4}, {1, 4}, {2, 4}, {0, 4}, {0, 8}});
  message.resize(2048);
  w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message);
  w.mmi();
  EXPECT_EQ(w.get<Status>(platform::kSupervisorCommBuffer + 24 + 16), Status::NotFound);
}

}  // namespace
}  // namespace mm::test
