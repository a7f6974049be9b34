// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <semaphore>
#include <thread>

#include "tests/support/policy_blob.hpp"
#include "tests/support/supervisor_world.hpp"

namespace mm::test {
namespace {

using abi::Channel;
using hal::TraceKind;

std::vector<u8> example_with_allow_io() {
  return Blob::make({{2, 0, {Blob::io(0x80, 1, 3)}},
                     {3, 1, {Blob::msr(0x100, 1, 3)}},
                     {4, 0, {Blob::instruction(2, 4)}},
                     {5, 0, {Blob::save_state(0, 0x10, 2), Blob::save_state(1, 1, 0)}},
                     {1, 1, {}}});
}

/// Runs one system call in a fresh world; nothing when it was refused.
struct Outcome {
  std::optional<u64> rax{};
  Status refused = Status::Success;
};
struct SyscallTest : ::testing::Test {
  explicit SyscallTest(std::vector<u8> const& policy = example_with_allow_io()) {
    w.set_policy(policy);
    w.boot();
  }
  Outcome call(u64 number, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    Outcome out;
    w.machine.events.clear();
    s.steps.push_back(Script::call(number, a1, a2, a3));
    s.steps.push_back([&](hal::UserContext& c) {
      out.rax = c.rax;
      return Script::ret(c, 0);
    });
    w.mmi();
    for (auto const& e : w.machine.of(TraceKind::Syscall)) {
      out.refused = static_cast<Status>(e.f);
    }
    return out;
  }
  Status refusal(u64 number, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    World fresh;
    fresh.set_policy(example_with_allow_io());
    Script script(*fresh.cpu[0]);
    fresh.boot();
    script.steps = {Script::call(number, a1, a2, a3)};
    fresh.mmi();
    EXPECT_EQ(fresh.machine.halted, hal::HaltReason::SyscallRefused) << number;
    auto const halts = fresh.machine.of(TraceKind::Halt);
    return halts.empty() ? Status::Success : static_cast<Status>(halts[0].c);
  }
  World w;
  Script s{*w.cpu[0]};
};

TEST_F(SyscallTest, PolicyGate) {
  w.cpu[0]->msrs[0x8B] = 0x1234;
  w.cpu[0]->ports[0x80] = 0x5A;
  EXPECT_EQ(call(0x0, 0x8B).rax, 0x1234u);
  EXPECT_EQ(call(0x1, 0x8B, 0x99).rax, 0u);
  EXPECT_EQ(w.cpu[0]->msrs[0x8B], 0x99u);
  EXPECT_EQ(call(0x3, 0x80, 0).rax, 0x5Au);
  EXPECT_EQ(call(0x4, 0x80, 0, 0x77).rax, 0u);
  EXPECT_EQ(w.cpu[0]->port_writes.back(), (fake::PortWrite{0x80, 1, 0x77}));
  EXPECT_EQ(refusal(0x0, 0x100), Status::AccessDenied);
  EXPECT_EQ(refusal(0x0, 0x8C), Status::Unsupported);
  EXPECT_EQ(refusal(0x0, 0x1'0000'008B), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x3, 0x80, 1), Status::AccessDenied);
  EXPECT_EQ(refusal(0x3, 0x80, 3), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x3, 0x10080, 0), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x2), Status::AccessDenied);
  EXPECT_EQ(refusal(0x5), Status::AccessDenied);
  EXPECT_EQ(refusal(0x6), Status::AccessDenied);
}

TEST_F(SyscallTest, UnknownNumbersAreRefused) {
  for (u64 const n : {0x8ull, 0x9ull, 0xFFFFull, 0x10000ull, 0x10002ull, 0x20001ull, ~0ull}) {
    EXPECT_EQ(refusal(n), Status::InvalidParameter);
  }
}

TEST_F(SyscallTest, Pages) {
  auto const at = call(0x10004, 0, 6, 2).rax;
  ASSERT_TRUE(at);
  EXPECT_EQ(*w.tables().query_uniform({*at, 0x2000}), memory::kUserData);
  EXPECT_EQ(call(0x10005, *at, 2).rax, 0u);
  EXPECT_FALSE(w.tables().query(*at));
  EXPECT_EQ(call(0x10004, 0, 6, 1).rax, at);
  EXPECT_EQ(refusal(0x10004, 1, 6, 1), Status::Unsupported);
  EXPECT_EQ(refusal(0x10004, 0, 5, 1), Status::Unsupported);
  EXPECT_EQ(refusal(0x10004, 0, 4, 1), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x10004, 0, 6, 0), Status::InvalidParameter);
  EXPECT_EQ(call(0x10004, 0, 6, 1 << 20).rax, 0u);
  EXPECT_EQ(call(0x10004, 0, 6, ~0ull).rax, 0u);
  EXPECT_EQ(refusal(0x10005, kStacks, 1), Status::SecurityViolation);
  EXPECT_EQ(refusal(0x10005, kCore, 1), Status::SecurityViolation);
  EXPECT_EQ(refusal(0x10005, kFree + 0x800000, 1), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x10005, 0x1000, 1), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x10005, kStacks + 1, 1), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x10005, kStacks, 0), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x10005, kStacks, ~0ull), Status::SecurityViolation);
}

TEST_F(SyscallTest, BuffersLentToRing3CannotBeFreed) {
  u64 const hobs = *call(0x1001B).rax;
  EXPECT_EQ(refusal(0x10005, hobs, 1), Status::SecurityViolation);
}

TEST_F(SyscallTest, CommBufferAndUnblocked) {
  u64 const hobs = *call(0x1001B).rax;
  u64 buffer = 0;
  for (u64 at = hobs; buffer == 0; at += w.get<abi::HobHeader>(at).length) {
    if (w.get<abi::HobHeader>(at).type == 4 && w.get<abi::HobGuid>(at).name == guids::gMmCommBufferHobGuid) {
      buffer = w.get<u64>(at + 24);
    }
  }
  auto const bad = static_cast<u64>(Status::SecurityViolation);
  EXPECT_EQ(call(0x10023, buffer, 0x10000).rax, 1u);
  EXPECT_EQ(call(0x10023, buffer + 0xFFFF, 1).rax, 1u);
  EXPECT_EQ(call(0x10023, buffer, 0x10001).rax, bad);
  EXPECT_EQ(call(0x10023, buffer, 0).rax, bad);
  EXPECT_EQ(call(0x10023, buffer + 1, ~0ull).rax, bad);
  EXPECT_EQ(call(0x10023, buffer - 1, 2).rax, bad);
  EXPECT_EQ(call(0x10022, platform::kScratch, 16).rax, 0u);
  EXPECT_EQ(call(0x10022, platform::kUserCommBuffer, 16).rax, 0u);
  EXPECT_EQ(call(0x10022, ~0ull, 16).rax, 0u);
}

TEST_F(SyscallTest, ErrorReportJumpOnce) {
  EXPECT_EQ(call(0x1001C, kDriver + 0x100).rax, 0u);
  EXPECT_EQ(call(0x1001C, kDriver + 0x100).refused, Status::AlreadyStarted);
  EXPECT_EQ(refusal(0x1001C, kCore), Status::SecurityViolation);
  EXPECT_EQ(refusal(0x1001C, kUserCore - 4), Status::SecurityViolation);
}

TEST_F(SyscallTest, SaveState) {
  u64 const state = kMmram + 0xFC00;
  w.put(state + 0x2FC, u32{0x00020064});
  w.put(state + 0x3F8, u64{0x1122334455667788});
  u64 const buffer = kStacks + 0x100;
  auto const read = [&](u64 reg, u64 width) {
    EXPECT_EQ(call(0x7, 0xABC, reg, 0).rax, 0u);
    return static_cast<Status>(call(0x10021, 0xABC, width, buffer).rax.value_or(0xDEAD));
  };
  EXPECT_EQ(static_cast<Status>(*call(0x10021, 0xABC, 8, buffer).rax), Status::NotStarted);
  EXPECT_EQ(read(514, 8), Status::Success);
  EXPECT_EQ(w.cpu[0]->barrier_count, 1u);
  EXPECT_EQ(static_cast<Status>(*call(0x10021, 0xABC, 8, buffer).rax), Status::NotStarted);
  EXPECT_EQ(read(514, 4), Status::InvalidParameter);
  EXPECT_EQ(read(38, 8), Status::NotFound);
  EXPECT_EQ(read(512, 24), Status::NotFound);
  EXPECT_EQ(read(39, 8), Status::AccessDenied);
  w.put(state + 0x2C0, u32{0x00B2'0012});
  EXPECT_EQ(read(38, 1), Status::Success);
  EXPECT_EQ(w.get<u8>(buffer), 0x88u);
  EXPECT_EQ(read(38, 0), Status::InvalidParameter);
  EXPECT_EQ(read(512, 23), Status::InvalidParameter);
  EXPECT_EQ(read(512, 24), Status::Success);
  EXPECT_EQ(w.get<u64>(buffer), 0x88u);
  EXPECT_EQ(w.get<u16>(buffer + 8), 0xB2);
  EXPECT_EQ(w.get<u32>(buffer + 16), 2u);
  EXPECT_EQ(refusal(0x7, 0, 38, 0), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x7, 1, 515, 0), Status::InvalidParameter);
  EXPECT_EQ(refusal(0x7, 1, 38, 1), Status::InvalidParameter);
  call(0x7, 0xABC, 38, 0);
  EXPECT_EQ(call(0x10021, 0xABC, 8, kDriver).refused, Status::SecurityViolation);
}

/// Revision, where the I/O word and RAX are, and the words of an OUT of 1, 2 and 4 bytes.
struct Layout {
  u32 revision;
  u64 io_word;
  u64 rax;
  std::array<u32, 3> outs;
};
constexpr Layout kLayouts[] = {{0x20064, 0x2C0, 0x3F8, {0xB2'0012, 0xB2'0022, 0xB2'0042}},
                               {0x30004, 0x3A4, 0x35C, {0xB2'0083, 0xB2'0085, 0xB2'0089}}};

struct SaveStateRax : SyscallTest {
  explicit SaveStateRax(std::vector<u8> const& policy) : SyscallTest(policy) {}
  void TestBody() override {}
  /// Status and value of a read of `width` bytes after this OUT.
  std::pair<Status, u64> read(Layout const& layout, u32 out, u64 width) {
    u64 const state = kMmram + 0xFC00;
    u64 const buffer = kStacks + 0x100;
    w.put(state + 0x2FC, layout.revision);
    w.put(state + layout.rax, u64{0x1122334455667788});
    w.put(state + layout.io_word, out);
    w.put(buffer, u64{0});
    EXPECT_EQ(call(0x7, 0xABC, 38, 0).rax, 0u);
    auto const status = static_cast<Status>(call(0x10021, 0xABC, width, buffer).rax.value_or(0xDEAD));
    return {status, w.get<u64>(buffer)};
  }
};

TEST(SaveStateRaxTest, AllowListGivesTheBytesOfTheTrappedIo) {
  SaveStateRax t(example_with_allow_io());
  for (Layout const& layout : kLayouts) {
    for (u32 size = 0; size < 3; ++size) {
      for (u32 asked = 0; asked < 4; ++asked) {
        auto const [status, value] = t.read(layout, layout.outs[size], u64{1} << asked);
        EXPECT_EQ(status, asked <= size ? Status::Success : Status::AccessDenied) << size << " " << asked;
        EXPECT_EQ(value, asked <= size ? 0x55667788 & (UINT64_MAX >> (64 - (8u << asked))) : 0);
      }
      EXPECT_EQ(t.read(layout, layout.outs[2], 3), (std::pair<Status, u64>{Status::Success, 0x667788}));
      EXPECT_EQ(t.read(layout, layout.outs[2], 9).first, Status::AccessDenied);
    }
  }
}

TEST(SaveStateRaxTest, AStringInstructionDoesNotMoveRax) {
  SaveStateRax t(example_with_allow_io());
  for (u32 const out : {0xB2'0016u, 0xB2'001Au, 0xB2'001Eu}) {
    EXPECT_EQ(t.read(kLayouts[0], out, 1).first, Status::NotFound) << out;
  }
  for (u32 const out : {0xB2'0023u, 0xB2'0063u, 0xB2'0073u}) {
    EXPECT_EQ(t.read(kLayouts[1], out, 1).first, Status::NotFound) << out;
  }
}

TEST(SaveStateRaxTest, WithoutAnAllowListTheWholeRegister) {
  std::vector<u8> const policies[] = {Blob::make({{1, 1, {}}}),
                                      Blob::make({{5, 1, {Blob::save_state(1, 1, 0)}}, {1, 1, {}}})};
  for (auto const& policy : policies) {
    SaveStateRax t(policy);
    for (Layout const& layout : kLayouts) {
      EXPECT_EQ(t.read(layout, layout.outs[0], 8), std::pair(Status::Success, u64{0x1122334455667788}));
      EXPECT_EQ(t.read(layout, layout.outs[0], 9).first, Status::InvalidParameter);
    }
  }
}

/// Every register number of PI in both layouts and every width: what the save state does not hold is NOT_FOUND, a width
/// beyond the register INVALID_PARAMETER, and anything up to it gives the first bytes.
TEST(SaveStateRegisters, EachNumberAndWidth) {
  u32 answered = 0, absent = 0;
  for (Layout const& layout : kLayouts) {
    bool const amd = layout.revision == 0x20064;
    SaveStateRax t(Blob::make({{1, 1, {}}}));
    u64 const state = kMmram + 0xFC00;
    u64 const buffer = kStacks + 0x100;
    for (u64 at = 0; at < 0x400; at += 8) {
      t.w.put(state + at, u64{0x0807060504030201} * (at / 8 % 13 + 1));
    }
    t.w.put(state + 0x2FC, layout.revision);
    t.w.put(state + layout.io_word, layout.outs[2]);
    for (u64 reg = 0; reg < supervisor::save_state::kRegIo; ++reg) {
      auto const [offset, bytes] =
          arch::save_state::find(reg, amd ? arch::save_state::Layout::Amd64 : arch::save_state::Layout::Intel);
      for (u64 width = 1; width <= 16; ++width) {
        t.w.put(buffer, u64{0});
        ASSERT_EQ(t.call(0x7, 0xABC, reg, 0).rax, 0u);
        auto const status = static_cast<Status>(t.call(0x10021, 0xABC, width, buffer).rax.value_or(0xDEAD));
        if (bytes == 0) {
          ASSERT_EQ(status, Status::NotFound) << reg;
          ++absent;
        } else if (width > bytes) {
          ASSERT_EQ(status, Status::InvalidParameter) << reg << " " << width;
        } else {
          u64 const mask = UINT64_MAX >> (64 - 8 * width);
          ASSERT_EQ(status, Status::Success) << reg << " " << width;
          ASSERT_EQ(t.w.get<u64>(buffer), t.w.get<u64>(state + offset) & mask) << reg << " " << width;
          ++answered;
        }
      }
    }
  }
  EXPECT_GE(answered, 400u);
  EXPECT_GE(absent, 10'000u);
}

TEST(SaveStateRaxTest, DenyListWithRaxRefusesEveryWidth) {
  SaveStateRax t(Blob::make({{5, 1, {Blob::save_state(0, 1, 0)}}, {1, 1, {}}}));
  for (u64 const width : {1u, 8u}) {
    EXPECT_EQ(t.read(kLayouts[0], kLayouts[0].outs[0], width).first, Status::AccessDenied);
  }
}

// --- supervisor channel

struct RequestTest : ::testing::Test {
  explicit RequestTest(u32 address_bits = 47) {
    w.cpu[0]->address_bits = address_bits;
    w.set_policy(example_with_allow_io());
    w.boot();
  }
  u64 result(u32 request, std::vector<u8> const& payload, u32 revision = 1, u32 signature = abi::kRequestSignature) {
    auto message = Blob::bytes({{signature, 4}, {revision, 4}, {request, 4}, {0, 4}, {0x99, 8}});
    message.insert(message.end(), payload.begin(), payload.end());
    w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message);
    w.mmi();
    return w.get<u64>(platform::kSupervisorCommBuffer + 24 + 16);
  }
  u64 unblock(u64 base, u64 pages, u64 attribute = 0, u64 guid = 1) {
    return result(1, Blob::bytes({{6, 8}, {base, 8}, {0, 8}, {pages, 8}, {attribute, 8}, {guid, 8}, {0, 8}}));
  }
  static u64 code(Status s) { return static_cast<u64>(s); }
  World w;
  Script s{*w.cpu[0]};
};

TEST_F(RequestTest, Envelope) {
  EXPECT_EQ(result(3, {}, 1, 0), code(Status::InvalidParameter));
  EXPECT_EQ(result(3, std::vector<u8>(16), 2), code(Status::InvalidParameter));
  EXPECT_EQ(result(9, {}), code(Status::Unsupported));
  EXPECT_EQ(result(4, std::vector<u8>(223)), code(Status::Aborted));
  EXPECT_EQ(result(3, std::vector<u8>(15)), code(Status::Aborted));
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, code(Status::NotFound));
  EXPECT_EQ(result(3, std::vector<u8>(16)), code(Status::CompromisedData));  // this world's supervisor has no PE header
}

TEST_F(RequestTest, Unblock) {
  u64 const at = platform::kScratch;
  EXPECT_EQ(unblock(at, 2), 0u);
  EXPECT_EQ(*w.tables().query_uniform({at, 0x2000}), memory::kUserData);
  EXPECT_EQ(unblock(at, 2), 0u);
  EXPECT_EQ(unblock(at, 2, abi::kMemorySp), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(at + 0x1000, 2), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(at - 0x1000, 8), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(at + 0x10000, 1, abi::kMemorySp), 0u);
  EXPECT_EQ(*w.tables().query(at + 0x10000), memory::kSupervisorData);
  EXPECT_EQ(unblock(at + 0x20000, 1, 0, 0), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(at + 0x20001, 1), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(at + 0x20000, 0), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(at + 0x20000, ~0ull), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(~0xFFFull, 2), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(1ull << 47, 1), code(Status::InvalidParameter));
  EXPECT_EQ(unblock(0, 1), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(kMmram, 1), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(kMmram - 0x1000, 2), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(kMmram + kMmramBytes - 0x1000, 2), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(0x1000, (kMmram + kMmramBytes) >> 12), code(Status::SecurityViolation));
  EXPECT_EQ(unblock(platform::kUserCommBuffer, 1), code(Status::SecurityViolation));
  EXPECT_FALSE(w.machine.halted);
}

TEST_F(RequestTest, UnblockOfDeviceMemory) {
  for (u64 const device : {u64{0xFED0'0000}, u64{0xFEE0'0000}, u64{0xE000'0000}, u64{1} << 40}) {
    EXPECT_EQ(unblock(device, 1), 0u) << device;
    EXPECT_EQ(*w.tables().query(device), memory::kUserData) << device;
  }
}

struct NarrowCpu : RequestTest {
  NarrowCpu() : RequestTest(40) {}
};

TEST_F(NarrowCpu, OpensNothingBeyondItsAddresses) {
  constexpr u64 kLimit = u64{1} << 40;
  for (u64 const at : {kLimit - kPageSize, kLimit, kLimit << 6}) {
    EXPECT_EQ(unblock(at, 2), code(Status::InvalidParameter)) << std::hex << at;
    EXPECT_FALSE(w.tables().query(at)) << std::hex << at;
  }
  EXPECT_EQ(unblock(kLimit - 2 * kPageSize, 2), 0u);
  EXPECT_TRUE(w.tables().query(kLimit - kPageSize));
}

TEST_F(RequestTest, UnblockRunsOutOfTablesWithoutTraces) {
  u64 refused = 0;
  for (u64 i = 0; i < 70; ++i) {
    u64 const at = (i + 2) << 39;
    if (at < memory::kAddressLimit && unblock(at, 1) != 0) {
      ++refused;
      EXPECT_FALSE(w.tables().query(at));
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_FALSE(w.machine.halted);
}

TEST_F(RequestTest, FetchLocksAndReportsTheTables) {
  EXPECT_EQ(unblock(platform::kScratch, 1), 0u);
  EXPECT_EQ(result(2, std::vector<u8>(8)), code(Status::BufferTooSmall));
  EXPECT_EQ(unblock(platform::kScratch + 0x10000, 1), code(Status::AccessDenied));
  EXPECT_EQ(result(2, std::vector<u8>(4096)), 0u);
  u64 const blob = platform::kSupervisorCommBuffer + 48;
  u32 const size = w.get<u32>(blob + 4);
  EXPECT_EQ(w.status(Channel::Supervisor).return_buffer_size, 48u + size);
  std::vector<u8> policy(size);
  w.machine.memory.read(blob, std::as_writable_bytes(std::span(policy)));
  auto const finding = policy::validate(std::as_bytes(std::span(policy)));
  EXPECT_EQ(finding.problem, policy::Problem::None);
  policy::View const v(std::as_bytes(std::span(policy)));
  u64 const root = policy::find_root(v, policy::Type::Mem);
  EXPECT_EQ(v.get<u32>(root + 16), 2u);  // communicate buffers and status pages; the unblocked page
  EXPECT_EQ(v.get<u64>(v.get<u32>(root + 12)), platform::kUserCommBuffer);
  EXPECT_EQ(result(2, std::vector<u8>(size)), 0u);
  EXPECT_EQ(result(2, std::vector<u8>(size - 1)), code(Status::BufferTooSmall));
  w.map(platform::kScratch + 0x80000, 0x1000, memory::kUserData);
  EXPECT_EQ(result(2, std::vector<u8>(4096)), code(Status::SecurityViolation));
}

/// The memory list is behind the blob, wherever the empty list of the blob was said to be.
TEST_F(RequestTest, TheMemoryListOfAFetchedPolicyIsBehindTheBlob) {
  World first;
  auto const policy = Blob::make({{1, 1, {}}, {2, 0, {Blob::io(0x80, 1, 3)}}});
  first.set_policy(policy);
  first.boot();
  auto message = Blob::bytes({{abi::kRequestSignature, 4}, {1, 4}, {2, 4}, {0, 4}, {0, 8}});
  message.resize(message.size() + 4096);
  first.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message);
  first.mmi();
  u64 const blob = platform::kSupervisorCommBuffer + 48;
  EXPECT_EQ(first.get<u32>(blob + 40 + 12), policy.size());
  EXPECT_EQ(first.get<u64>(blob + policy.size()), platform::kUserCommBuffer);
}

/// COMM_UPDATE with the mailboxes in two pages from `mailbox` and the buffers one after the other from `buffer`.
struct CommUpdate : RequestTest {
  using Params = std::array<abi::UnblockMemoryParams, 4>;
  static constexpr u64 kBuffers = platform::kScratch;
  static constexpr u64 kMailboxes = platform::kScratch + 0x10'0000;
  static Params good() {
    auto const one = [](u64 base, u64 pages) {
      return abi::UnblockMemoryParams{{6, 0, base, 0, pages, abi::kMemoryXp | abi::kMemorySp},
                                      "22222222-2222-3333-4444-555555555555"_guid};
    };
    return {one(kMailboxes, 1), one(kMailboxes + 0x1000, 1), one(kBuffers, 16), one(kBuffers + 0x1'0000, 16)};
  }
  u64 update(Params const& p) {
    std::vector<u8> bytes(sizeof(p));
    std::memcpy(bytes.data(), &p, sizeof(p));
    return result(4, bytes);
  }
  template <typename F>
  u64 with(u64 index, F&& change) {
    Params p = good();
    change(p[index]);
    return update(p);
  }
};

TEST_F(CommUpdate, RefusesWhatDiffersAndChangesNothing) {
  u64 const refused = code(Status::SecurityViolation);
  for (u64 i = 0; i < 4; ++i) {
    EXPECT_EQ(with(i, [](auto& p) { p.descriptor.type = 4; }), refused);
    EXPECT_EQ(with(i, [](auto& p) { p.descriptor.attribute = abi::kMemorySp; }), refused);
    EXPECT_EQ(with(i, [](auto& p) { ++p.descriptor.number_of_pages; }), refused);
    EXPECT_EQ(with(i, [](auto& p) { p.descriptor.number_of_pages = 0; }), refused);
    EXPECT_EQ(with(i, [](auto& p) { p.descriptor.physical_start = kMmram; }), refused);
  }
  EXPECT_FALSE(w.tables().query(kBuffers));
}
TEST_F(CommUpdate, RefusesBadPlaces) {
  u64 const refused = code(Status::SecurityViolation);
  EXPECT_EQ(with(3, [](auto& p) { p.descriptor.physical_start = kMmram - 0x1000; }), refused);
  EXPECT_EQ(with(0, [](auto& p) { p.identifier = {}; }), code(Status::InvalidParameter));
  EXPECT_EQ(with(0, [](auto& p) { p.descriptor.physical_start += 8; }), code(Status::InvalidParameter));
  EXPECT_EQ(with(0, [](auto& p) { p.descriptor.physical_start = 0; }), refused);
  EXPECT_EQ(with(0, [](auto& p) { p.descriptor.physical_start = memory::kAddressLimit; }),
            code(Status::InvalidParameter));
  EXPECT_EQ(with(1, [](auto& p) { p.descriptor.physical_start = kMailboxes; }), refused);
  EXPECT_EQ(with(2, [](auto& p) { p.descriptor.physical_start = platform::kSupervisorCommBuffer; }), refused);
  EXPECT_EQ(unblock(kBuffers + 0x1'F000, 1), 0u);
  EXPECT_EQ(update(good()), refused);
  EXPECT_FALSE(w.tables().query(kBuffers));
  EXPECT_FALSE(w.tables().query(kMailboxes));
  EXPECT_EQ(*w.tables().query(platform::kSupervisorCommStatus), memory::kSupervisorData);
}
TEST_F(CommUpdate, RunsOutOfTablesWithoutTraces) {
  auto p = good();
  for (u64 i = 0; i < 62; ++i) {  // most of the pool of table pages
    unblock((i + 1) << 30 | u64{1} << 40, 1);
  }
  p[3].descriptor.physical_start = u64{1} << 45;
  EXPECT_EQ(update(p), code(Status::OutOfResources));
  EXPECT_FALSE(w.tables().query(kBuffers));
  EXPECT_FALSE(w.tables().query(kMailboxes));
  EXPECT_EQ(*w.tables().query(platform::kUserCommStatus), memory::kSupervisorData);
}
TEST_F(CommUpdate, MovesBothChannelsOnce) {
  w.put(kMailboxes, u64{0xFF00});    // not valid; the rest is whatever the normal world left
  EXPECT_EQ(update(good()), 0x99u);  // the old buffer is as the caller wrote it
  EXPECT_EQ(w.status(Channel::Supervisor).is_comm_buffer_valid, 1);
  auto const answered = w.get<abi::CommBufferStatus>(kMailboxes);
  EXPECT_EQ(answered.is_comm_buffer_valid, 0);
  EXPECT_EQ(answered.return_status, 0u);
  EXPECT_EQ(answered.return_buffer_size, 24u + 24 + 224);
  EXPECT_EQ(w.get<u64>(kBuffers + 24 + 16), 0u);
  EXPECT_FALSE(w.tables().query(platform::kUserCommBuffer));
  EXPECT_FALSE(w.tables().query(platform::kSupervisorCommStatus));
  EXPECT_EQ(*w.tables().query_uniform({kBuffers, 0x2'0000}), memory::kSupervisorData);
  // Both channels work at their new places.
  w.put(kBuffers + 0x1'0000, abi::CommunicateHeader{guids::gEfiDxeMmReadyToLockProtocolGuid, 0});
  w.put(kMailboxes + 0x1000, u64{1});
  s.contexts.clear();
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 1u);
  EXPECT_EQ(w.get<u8>(kMailboxes + 0x1000), 0);
  std::vector<u8> message(24 + 224);
  w.machine.memory.read(kBuffers + 24, std::as_writable_bytes(std::span(message)));
  w.put(kBuffers + 24 + 16, u64{0x99});
  w.put(kMailboxes, u64{1});
  w.mmi();
  EXPECT_EQ(w.get<u64>(kBuffers + 24 + 16), code(Status::AccessDenied));
}
TEST_F(CommUpdate, NotAfterTheLock) {
  w.request(Channel::Supervisor, guids::gEfiDxeMmReadyToLockProtocolGuid, {0});
  w.mmi();
  EXPECT_EQ(update(good()), code(Status::AccessDenied));
  EXPECT_FALSE(w.tables().query(kBuffers));
}

TEST_F(RequestTest, LockHoldsThoughTheSnapshotFails) {
  u64 opened = 0;
  for (u64 i = 0; opened < memory::UnblockTracker::kCapacity; ++i) {
    opened += unblock(platform::kScratch + i * 0x2000, 1) == 0 ? 1 : 0;
  }
  for (u64 i = 0; i < 200; ++i) {  // more regions than the snapshot holds
    w.map(platform::kScratch + 0x40'0000 + i * 0x2000, 0x1000, memory::kUserData);
  }
  w.request(Channel::Supervisor, guids::gEfiDxeMmReadyToLockProtocolGuid, {0});
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, code(Status::NotFound));
  EXPECT_EQ(unblock(platform::kScratch + 0x90'0000, 1), code(Status::AccessDenied));
  EXPECT_EQ(result(2, std::vector<u8>(8192)), code(Status::OutOfResources));
}

TEST_F(RequestTest, ReadyToLockOnce) {
  w.request(Channel::Supervisor, guids::gEfiDxeMmReadyToLockProtocolGuid, {0});
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, 0u);
  EXPECT_EQ(unblock(platform::kScratch, 1), code(Status::AccessDenied));
  w.request(Channel::Supervisor, guids::gEfiDxeMmReadyToLockProtocolGuid, {0});
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, code(Status::NotFound));
}

}  // namespace
}  // namespace mm::test
