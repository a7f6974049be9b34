// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

constexpr u64 kImageA = 0x7000'0000;
constexpr u64 kImageB = 0x7000'1000;
constexpr Guid kFileA = "9A3D0C11-52C0-4E6B-8B0E-6D5E000000A1"_guid;
constexpr Guid kFileB = "9A3D0C11-52C0-4E6B-8B0E-6D5E000000B1"_guid;

Machine* g_machine = nullptr;
int g_calls = 0;

Status MM_EFIAPI doubles(Handle, void const*, void* buffer, u64* size) {
  ++g_calls;
  std::memset(buffer, 0xDD, *size * 2);
  *size *= 2;
  return Status::Success;
}
Status MM_EFIAPI claims_too_much(Handle, void const*, void*, u64* size) {
  *size = UINT64_MAX;
  return Status::Success;
}
Status MM_EFIAPI counts(Handle, void const*, void*, u64*) {
  ++g_calls;
  return Status::Success;
}
Status MM_EFIAPI faults_in_a(Handle, void const*, void*, u64*) { g_machine->raise(kImageA + 0x20); }

struct Core : testing::Test {
  void SetUp() override {
    g_machine = &m;
    g_calls = 0;
  }
  void on(Guid const& event, MmiHandlerFn function, MmSystemTable* table = nullptr) {
    Handle handle = 0;
    ASSERT_EQ((table != nullptr ? table : m.mmst())->mmi_handler_register(function, &event, &handle), Status::Success);
  }
  u64 notes(abi::UserNote kind, u64 a) {
    u64 n = 0;
    for (Note const& note : m.ring3.notes) {
      n += note.kind == kind && note.a == a ? 1u : 0u;
    }
    return n;
  }
  bool installed(Guid const& guid) {
    void* interface = nullptr;
    return m.mmst()->locate_protocol(&guid, nullptr, &interface) == Status::Success;
  }
  Machine m;
  Guid const type = guid_of(1);
};

TEST_F(Core, Commands) {
  using T = Bench::Thunks;
  EXPECT_EQ(T::command(1, address_of(m.page), 40), Status::NotReady);
  EXPECT_EQ(T::command(3, address_of(m.page), 0), Status::NotReady);
  EXPECT_EQ(T::command(0, 0, 0), Status::InvalidParameter);
  EXPECT_EQ(m.boot(), Status::Success);
  EXPECT_EQ(T::command(0, address_of(m.page), 0), Status::AlreadyStarted);
  EXPECT_EQ(T::command(1, 0, 40), Status::InvalidParameter);
  EXPECT_EQ(T::command(1, address_of(m.page), 39), Status::InvalidParameter);
  EXPECT_EQ(T::command(1, address_of(m.page), UINT64_MAX), Status::InvalidParameter);
  EXPECT_EQ(T::command(2, 0, 0), Status::InvalidParameter);
  EXPECT_EQ(T::command(3, 0, 0), Status::InvalidParameter);
  EXPECT_EQ(T::command(4, 0, 0), Status::InvalidParameter);
}

TEST_F(Core, StartWithoutPages) {
  m.ring3.page_limit = 0;
  EXPECT_EQ(m.boot(), Status::OutOfResources);
}

void MM_EFIAPI increment(void* argument) { ++*static_cast<int*>(argument); }

TEST_F(Core, ApProcedure) {
  int n = 0;
  EXPECT_EQ(Bench::Thunks::command(2, reinterpret_cast<u64>(&increment), address_of(&n)), Status::Success);
  EXPECT_EQ(n, 1);
}

TEST_F(Core, StartInstallsWhatDriversWaitFor) {
  ASSERT_EQ(m.boot(), Status::Success);
  EXPECT_TRUE(installed(guids::gEfiMmCpuProtocolGuid));
  EXPECT_TRUE(installed(guids::gMmRing3HandlerReadyProtocol));
  EXPECT_TRUE(installed(guids::gSmmExceptionTestProtocolGuid));
  EXPECT_FALSE(installed(guids::gEfiMmEndOfDxeProtocolGuid));
}

TEST_F(Core, CountsProcessorsOfTheFirstKindOfHobOnly) {
  constexpr Guid kMpInformation2 = "417A7F64-F4E9-4B32-846A-5CC4D8621879"_guid;
  m.hobs.add_guid_object(kMpInformation2, std::array<u64, 4>{9, 0, 0, 0});
  ASSERT_EQ(m.boot(), Status::Success);
  EXPECT_EQ(m.mmst()->number_of_cpus, 4u);
}

TEST_F(Core, EachImageHasItsLoadedImageBeforeTheFirstIsStarted) {
  constexpr u64 kImages = 120;
  std::vector<u64> seen;
  for (u64 i = 0; i < kImages; ++i) {
    u64 const base = kImageA + i * kPageSize;
    Guid file = kFileA;
    file.data1 += static_cast<u32>(i);
    m.hobs.add_driver(file, base);
    if (i % 3 == 0) {
      m.hobs.add_depex(file, Depex{}.op(DepexOp::Push, guids::gEfiLoadedImageProtocolGuid).op(DepexOp::End).bytes);
    }
    m.ring3.entries[base + 0x10] = [&seen, base, i](Handle handle, MmSystemTable* table) {
      // What edk2's entry point with an unload function does: it writes through the pointer without a look at the
      // status.
      void* interface = nullptr;
      EXPECT_EQ(table->handle_protocol(handle, &guids::gEfiLoadedImageProtocolGuid, &interface), Status::Success);
      auto* const image = static_cast<LoadedImageProtocol*>(interface);
      EXPECT_EQ(image->image_base, base);
      EXPECT_EQ(image->image_size, kPageSize);
      EXPECT_EQ(image->revision, 0x1000u);
      EXPECT_EQ(image->unload, 0u) << "nobody else writes here";
      image->unload = base + 0x40;
      seen.push_back(base);
      return i % 4 == 1 ? Status::DeviceError : Status::Success;
    };
  }
  ASSERT_EQ(m.boot(), Status::Success);
  m.send(guids::gEventMmDispatchGuid, std::vector<u8>(8));
  EXPECT_EQ(seen.size(), kImages);
  u64 size = 0;
  EXPECT_EQ(m.mmst()->locate_handle(kSearchByProtocol, &guids::gEfiLoadedImageProtocolGuid, nullptr, &size, nullptr),
            Status::BufferTooSmall);
  EXPECT_EQ(size / sizeof(Handle), kImages * 3 / 4) << "a driver that failed has none any more";
}

Status MM_EFIAPI counts_notification(Guid const*, void*, Handle) {
  ++g_calls;
  return Status::Success;
}

TEST_F(Core, AFailedDriverIsNotNotifiedAnyMore) {
  Guid const watched = guid_of(77);
  for (bool const fails : {true, false}) {
    auto const machine = std::make_unique<Machine>();
    machine->hobs.add_driver(kFileA, kImageA);
    machine->ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
      void* registration = nullptr;
      EXPECT_EQ(table->register_protocol_notify(&watched, counts_notification, &registration), Status::Success);
      return fails ? Status::DeviceError : Status::Success;
    };
    ASSERT_EQ(machine->boot(), Status::Success);
    machine->send(guids::gEventMmDispatchGuid, std::vector<u8>(8));
    g_calls = 0;
    Handle handle = 0;
    ASSERT_EQ(machine->mmst()->install_protocol(&handle, &watched, 0, nullptr), Status::Success);
    EXPECT_EQ(g_calls, fails ? 0 : 1);
  }
}

TEST_F(Core, WithoutMemoryForTheImagesNothingStarts) {
  for (u64 i = 0; i < 400; ++i) {
    m.hobs.add_driver(kFileA, kImageA + i * kPageSize);
  }
  u64 pages = 0;
  while (pages < 200) {
    Machine other;
    for (u64 i = 0; i < 400; ++i) {
      other.hobs.add_driver(kFileA, kImageA + i * kPageSize);
    }
    other.ring3.page_limit = ++pages;
    Status const status = other.boot();
    if (status == Status::Success) {
      break;
    }
    ASSERT_EQ(status, Status::OutOfResources) << pages;
  }
  EXPECT_GT(pages, 20u);
  EXPECT_LT(pages, 200u);
}

TEST_F(Core, MessageReachesItsHandlerAndTheReplyIsReported) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, doubles);
  auto const status = m.send(type, {1, 2, 3, 4});
  EXPECT_EQ(status.is_comm_buffer_valid, 0);
  EXPECT_EQ(status.return_status, 0u);
  EXPECT_EQ(status.return_buffer_size, 24u + 8u);
  EXPECT_EQ(m.buffer[24 + 7], 0xDD);
  EXPECT_EQ(m.send(guid_of(9), {1}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(m.buffer[24 + 7], 0) << "nothing of an earlier message is left behind this one";
}

Status MM_EFIAPI shortens(Handle, void const*, void* buffer, u64* size) {
  std::memset(buffer, 0xEE, *size);
  *size = 2;
  return Status::Success;
}

TEST_F(Core, NothingStaysBehindTheReply) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, shortens);
  EXPECT_EQ(m.send(type, std::vector<u8>(100, 0x11)).return_buffer_size, 26u);
  EXPECT_EQ(m.buffer[24 + 1], 0xEE);
  EXPECT_EQ(std::count(m.buffer + 26, m.buffer + 24 + 100, 0), 98) << "of the message and of the handler's work";
}

TEST_F(Core, VersionThreeHeader) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, doubles);
  abi::CommunicateHeaderV3 header;
  header.header_guid = guids::gEfiMmCommunicateHeaderV3Guid;
  header.buffer_size = 56 + 6;
  header.message_guid = type;
  store(address_of(m.buffer), header);
  auto status = m.serve();
  EXPECT_EQ(status.return_status, 0u);
  EXPECT_EQ(status.return_buffer_size, 56u + 12u);
  for (u64 const bytes : {0ull, 55ull, 4097ull, ~0ull}) {
    header.buffer_size = bytes;
    store(address_of(m.buffer), header);
    status = m.serve();
    EXPECT_EQ(status.return_status, static_cast<u64>(Status::BadBufferSize)) << bytes;
    EXPECT_EQ(status.return_buffer_size, 0u);
  }
}

TEST_F(Core, ImpossibleLengthsAreRefused) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, counts);
  for (u64 const length : {kPageSize - 23, kPageSize, UINT64_MAX, UINT64_MAX - 23}) {
    store(address_of(m.buffer), abi::CommunicateHeader{type, length});
    EXPECT_EQ(m.serve().return_status, static_cast<u64>(Status::BadBufferSize)) << length;
  }
  EXPECT_EQ(g_calls, 0);
  store(address_of(m.buffer), abi::CommunicateHeader{type, kPageSize - 24});
  EXPECT_EQ(m.serve().return_status, 0u);
}

TEST_F(Core, OversizedReplyIsClamped) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, claims_too_much);
  EXPECT_EQ(m.send(type, {1}).return_buffer_size, kPageSize);
}

TEST_F(Core, BufferThatTheSupervisorDisownsIsNotServed) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, counts);
  for (u64 const answer : {u64{0}, static_cast<u64>(Status::SecurityViolation)}) {
    m.ring3.answers[abi::Syscall::MmIsCommBuffer] = answer;
    EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
  }
  EXPECT_EQ(g_calls, 0);
}

TEST_F(Core, RootHandlersAlwaysRunAndTheMailboxStays) {
  ASSERT_EQ(m.boot(), Status::Success);
  Handle handle = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  EXPECT_EQ(m.serve(false).return_buffer_size, 0u);
  EXPECT_EQ(g_calls, 1);
  m.send(guid_of(9), {});
  EXPECT_EQ(g_calls, 2);
}

TEST_F(Core, SaysWhetherItHasRootHandlers) {
  auto const word = [&] { return load<u64>(address_of(m.page) + abi::kUserRootsOffset); };
  ASSERT_EQ(m.boot(), Status::Success);
  m.serve(false);
  EXPECT_EQ(word(), abi::kNoRootHandlers);
  Handle first = 0;
  Handle second = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &first), Status::Success);
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &second), Status::Success);
  m.serve(false);
  EXPECT_EQ(word(), 0u);
  ASSERT_EQ(m.mmst()->mmi_handler_unregister(first), Status::Success);
  m.send(guid_of(9), {});
  EXPECT_EQ(word(), 0u);
  ASSERT_EQ(m.mmst()->mmi_handler_unregister(second), Status::Success);
  m.send(guid_of(9), {});
  EXPECT_EQ(word(), abi::kNoRootHandlers);
  EXPECT_EQ(g_calls, 2 + 1);
}

TEST_F(Core, StopsSendingNotesThatNobodyReads) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, counts);
  m.send(type, {1});
  auto const heard = m.ring3.notes.size();
  EXPECT_EQ(heard, 4u) << "two of the registration, two of the message";
  m.ring3.answers[abi::Syscall::TraceNote] = static_cast<u64>(Status::Unsupported);
  m.send(type, {1});
  m.send(type, {1});
  EXPECT_EQ(m.ring3.notes.size(), heard + 1);
}

TEST_F(Core, EventsInstallTheirProtocols) {
  ASSERT_EQ(m.boot(), Status::Success);
  struct {
    Guid event, protocol;
  } const pairs[] = {{guids::gEfiMmEndOfPeiProtocol, guids::gEfiMmEndOfPeiProtocol},
                     {guids::gEfiEndOfDxeEventGroupGuid, guids::gEfiMmEndOfDxeProtocolGuid},
                     {guids::gEfiDxeMmReadyToLockProtocolGuid, guids::gEfiMmReadyToLockProtocolGuid},
                     {guids::gEfiEventReadyToBootGuid, guids::gEfiEventReadyToBootGuid},
                     {guids::gEfiEventExitBootServicesGuid, guids::gEfiEventExitBootServicesGuid}};
  for (auto const& pair : pairs) {
    EXPECT_FALSE(installed(pair.protocol));
    EXPECT_EQ(m.send(pair.event, {0}).return_status, 0u);
    EXPECT_TRUE(installed(pair.protocol));
  }
  EXPECT_EQ(m.send(guids::gEfiDxeMmReadyToLockProtocolGuid, {0}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, static_cast<u64>(Status::NotFound));
}

TEST_F(Core, DispatchStartsDriversOnceAndThenRetires) {
  m.hobs.add_driver(kFileA, kImageA);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
    on(type, counts, table);
    return Status::Success;
  };
  ASSERT_EQ(m.boot(), Status::Success);
  EXPECT_EQ(notes(abi::UserNote::DriverEntered, kImageA), 0u);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, 0u);
  EXPECT_EQ(notes(abi::UserNote::DriverEntered, kImageA), 1u);
  EXPECT_EQ(notes(abi::UserNote::DriverReturned, kImageA), 1u);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(m.send(type, {1}).return_status, 0u);
}

TEST_F(Core, TellsEachHandlerThatIsRegistered) {
  ASSERT_EQ(m.boot(), Status::Success);
  on(type, counts);
  auto const words = std::bit_cast<std::array<u64, 2>>(type);
  EXPECT_EQ(notes(abi::UserNote::HandlerRegistered, words[0]), 1u);
  EXPECT_EQ(notes(abi::UserNote::HandlerAt, reinterpret_cast<u64>(&counts)), 1u);
  Handle handle = 0;
  EXPECT_EQ(m.mmst()->mmi_handler_register(nullptr, &type, &handle), Status::InvalidParameter);
  EXPECT_EQ(notes(abi::UserNote::HandlerRegistered, words[0]), 1u) << "what was refused is not registered";
  EXPECT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  EXPECT_EQ(notes(abi::UserNote::HandlerRegistered, 0), 1u) << "a root handler";
}

TEST_F(Core, DispatchStaysWhileADriverWaits) {
  m.hobs.add_driver(kFileA, kImageA);
  m.hobs.add_depex(kFileA, Depex{}.op(DepexOp::Push, guid_of(7)).op(DepexOp::End).bytes);
  ASSERT_EQ(m.boot(), Status::Success);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, 0u);
  EXPECT_EQ(notes(abi::UserNote::DriverWaiting, kImageA), 1u);
  Handle handle = 0;
  Guid const wanted = guid_of(7);
  ASSERT_EQ(m.mmst()->install_protocol(&handle, &wanted, 0, nullptr), Status::Success);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, 0u);
  EXPECT_EQ(notes(abi::UserNote::DriverEntered, kImageA), 1u);
}

TEST_F(Core, AFailedDriverLeavesNothingRegistered) {
  m.hobs.add_driver(kFileA, kImageA);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
    on(type, counts, table);
    return Status::DeviceError;
  };
  ASSERT_EQ(m.boot(), Status::Success);
  m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
}

TEST_F(Core, FaultAtEntryContainsTheDriverAndStartsTheOthers) {
  m.hobs.add_driver(kFileA, kImageA);
  m.hobs.add_driver(kFileB, kImageB);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) -> Status {
    Handle handle = 0;
    Guid const mine = guid_of(6);
    EXPECT_EQ(table->install_protocol(&handle, &mine, 0, nullptr), Status::Success);
    on(type, counts, table);
    m.raise(kImageA + 0x18);
  };
  Guid const other = guid_of(2);
  m.ring3.entries[kImageB + 0x10] = [&](Handle, MmSystemTable* table) {
    on(other, counts, table);
    return Status::Success;
  };
  ASSERT_EQ(m.boot(), Status::Success);
  auto const status = m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.faults, 1u);
  EXPECT_EQ(status.return_status, 0u);
  EXPECT_EQ(status.return_buffer_size, 25u);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u);
  EXPECT_FALSE(installed(guid_of(6)));
  EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(m.send(other, {1}).return_status, 0u);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, static_cast<u64>(Status::NotFound));
}

TEST_F(Core, EachFaultAtEntryOfADispatchIsContained) {
  m.hobs.add_driver(kFileA, kImageA);
  m.hobs.add_driver(kFileB, kImageB);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable*) -> Status { m.raise(kImageA + 0x18); };
  m.ring3.entries[kImageB + 0x10] = [&](Handle, MmSystemTable* table) -> Status {
    on(type, counts, table);
    m.raise(kImageB + 0x18);
  };
  ASSERT_EQ(m.boot(), Status::Success);
  auto const status = m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.faults, 2u);
  EXPECT_EQ(status.return_status, 0u);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageB), 1u);
  EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
}

TEST_F(Core, FaultInHandlerAbortsTheMessageAndRootHandlersStillRun) {
  m.hobs.add_driver(kFileA, kImageA);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
    on(type, faults_in_a, table);
    return Status::Success;
  };
  ASSERT_EQ(m.boot(), Status::Success);
  m.send(guids::gEventMmDispatchGuid, {0});
  Handle handle = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  auto const status = m.send(type, {1, 2, 3});
  EXPECT_EQ(m.faults, 1u);
  EXPECT_EQ(status.is_comm_buffer_valid, 0);
  EXPECT_EQ(status.return_status, static_cast<u64>(Status::Aborted));
  EXPECT_EQ(status.return_buffer_size, 0u);
  EXPECT_EQ(g_calls, 1);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u);
  EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(m.faults, 1u);
}

Status MM_EFIAPI root_faults(Handle, void const*, void*, u64*) { g_machine->raise(0x1234); }

TEST_F(Core, FaultInRootHandlerGoesOnWithTheNextOne) {
  m.hobs.add_driver(kFileA, kImageA);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
    Handle handle = 0;
    return table->mmi_handler_register(root_faults, nullptr, &handle);
  };
  ASSERT_EQ(m.boot(), Status::Success);
  Handle handle = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.faults, 1u);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u) << "rip in no image: the one that was executing";
  EXPECT_EQ(g_calls, 1);
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  m.serve(false);
  EXPECT_EQ(m.faults, 1u);
  EXPECT_EQ(g_calls, 3);
}

Status MM_EFIAPI leaves(Handle, void const*, void*, u64*) { g_machine->leave(); }

TEST_F(Core, AHandlerThatEndsTheMmiItselfLeavesNothingUnderWay) {
  m.hobs.add_driver(kFileA, kImageA);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable* table) {
    Handle handle = 0;
    return table->mmi_handler_register(root_faults, nullptr, &handle);
  };
  ASSERT_EQ(m.boot(), Status::Success);
  Handle handle = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(counts, nullptr, &handle), Status::Success);
  on(type, leaves);
  m.buffer[kPageSize - 1] = 0xEE;
  m.send(type, {1});
  EXPECT_EQ(g_calls, 0);
  // The fault must find the handlers at the depth where each is called once.
  m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.faults, 1u);
  EXPECT_EQ(g_calls, 1);
  EXPECT_EQ(m.buffer[kPageSize - 1], 0) << "what the handler may have written";
}

TEST_F(Core, AnEntryPointThatEndsTheMmiItselfDoesNotEndTheDispatch) {
  m.hobs.add_driver(kFileA, kImageA);
  m.hobs.add_driver(kFileB, kImageB);
  m.ring3.entries[kImageA + 0x10] = [&](Handle, MmSystemTable*) -> Status { m.leave(); };
  m.ring3.entries[kImageB + 0x10] = [&](Handle, MmSystemTable* table) {
    on(type, counts, table);
    return Status::Success;
  };
  ASSERT_EQ(m.boot(), Status::Success);
  m.send(guids::gEventMmDispatchGuid, {0});
  EXPECT_EQ(m.send(type, {1}).return_status, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u);
  EXPECT_EQ(m.send(guids::gEventMmDispatchGuid, {0}).return_status, 0u);
  EXPECT_EQ(m.send(type, {1}).return_status, 0u);
  EXPECT_EQ(g_calls, 1);
}

TEST_F(Core, ApFaultLeavesTheBspAlone) {
  m.hobs.add_driver(kFileA, kImageA);
  ASSERT_EQ(m.boot(), Status::Success);
  abi::UserFaultRecord record;
  record.command = 2;
  record.rip = kImageA + 4;
  store(address_of(m.page) + abi::kUserFaultOffset, record);
  EXPECT_EQ(Bench::Thunks::command(3, address_of(m.page), 0), Status::Success);
  EXPECT_EQ(notes(abi::UserNote::DriverContained, kImageA), 1u);
}

}  // namespace
}  // namespace mm::user::test
