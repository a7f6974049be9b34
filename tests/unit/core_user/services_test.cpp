// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

struct Services : testing::Test {
  void SetUp() override { ASSERT_EQ(m.boot(), Status::Success); }
  Handle install(Guid const& guid, void* interface, Handle handle = 0) {
    EXPECT_EQ(t()->install_protocol(&handle, &guid, 0, interface), Status::Success);
    return handle;
  }
  MmSystemTable* t() { return m.mmst(); }
  Machine m;
  Guid const a = guid_of(1);
  Guid const b = guid_of(2);
  int x = 0;
  int y = 0;
};

TEST_F(Services, TableHeader) {
  EXPECT_EQ(t()->signature, 0x54534D53u);
  EXPECT_EQ(t()->revision, 0x00010050u);
  EXPECT_EQ(t()->number_of_cpus, 4u);
  for (u64 offset = 40; offset < 240; offset += 8) {
    bool const data = offset >= 120 && offset <= 160;
    EXPECT_TRUE(data || load<u64>(address_of(t()) + offset) != 0) << offset;
  }
  u64 value = 0;
  EXPECT_EQ(t()->io_read(nullptr, 0, 0x80, 1, &value), Status::NotAvailableYet);
  EXPECT_EQ(t()->mem_write(nullptr, 0, 0x80, 1, &value), Status::NotAvailableYet);
}

TEST_F(Services, ConfigurationTable) {
  u64 const count = t()->number_of_table_entries;
  EXPECT_EQ(t()->configuration_table[0].guid, guids::gEfiHobListGuid);
  EXPECT_EQ(t()->install_configuration_table(t(), nullptr, &x, 4), Status::InvalidParameter);
  EXPECT_EQ(t()->install_configuration_table(t(), &a, nullptr, 0), Status::NotFound);
  EXPECT_EQ(t()->install_configuration_table(t(), &a, &x, 4), Status::Success);
  EXPECT_EQ(t()->install_configuration_table(t(), &b, &y, 4), Status::Success);
  EXPECT_EQ(t()->install_configuration_table(t(), &a, &y, 4), Status::Success);
  EXPECT_EQ(t()->configuration_table[count].table, &y);
  EXPECT_EQ(t()->install_configuration_table(t(), &a, nullptr, 0), Status::Success);
  EXPECT_EQ(t()->number_of_table_entries, count + 1);
  EXPECT_EQ(t()->configuration_table[count].guid, b);
}

TEST_F(Services, Pool) {
  void* p = nullptr;
  EXPECT_EQ(t()->allocate_pool(6, 8, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pool(7, 8, &p), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pool(6, UINT64_MAX, &p), Status::OutOfResources);
  EXPECT_EQ(t()->allocate_pool(6, 0, &p), Status::Success);
  EXPECT_EQ(t()->free_pool(p), Status::Success);
  EXPECT_EQ(t()->free_pool(p), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pool(nullptr), Status::InvalidParameter);
}

TEST_F(Services, Pages) {
  u64 base = 0;
  EXPECT_EQ(t()->allocate_pages(0, 6, 1, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pages(0, 6, 0, &base), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pages(3, 6, 1, &base), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pages(0, 7, 1, &base), Status::InvalidParameter);
  EXPECT_EQ(t()->allocate_pages(0, 5, 1, &base), Status::Unsupported);
  EXPECT_EQ(t()->allocate_pages(2, 6, 1, &base), Status::Unsupported);
  EXPECT_EQ(t()->allocate_pages(0, 6, 1ull << 52, &base), Status::OutOfResources);
  u64 low = 0x1000;
  EXPECT_EQ(t()->allocate_pages(1, 6, 1, &low), Status::OutOfResources) << "above the wanted maximum";
  ASSERT_EQ(t()->allocate_pages(0, 6, 4, &base), Status::Success);
  EXPECT_EQ(t()->free_pages(0, 1), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pages(base, 0), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pages(base + 1, 1), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pages(base, 5), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pages(base, UINT64_MAX), Status::InvalidParameter);
  EXPECT_EQ(t()->free_pages(base + kPageSize, 2), Status::Success) << "a part of it";
  EXPECT_EQ(t()->free_pages(base + kPageSize, 1), Status::InvalidParameter) << "twice";
  EXPECT_EQ(t()->free_pages(base, 1), Status::Success);
  EXPECT_EQ(t()->free_pages(base + 3 * kPageSize, 1), Status::Success);
}

TEST_F(Services, StartupThisApRefusesWhatRingZeroWouldNotForgive) {
  auto const procedure = at<void MM_EFIAPI(void*)>(0x1000);
  EXPECT_EQ(t()->startup_this_ap(nullptr, 1, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->startup_this_ap(procedure, 4, nullptr), Status::InvalidParameter);
  m.serve(false);
  EXPECT_EQ(t()->startup_this_ap(procedure, 0, nullptr), Status::InvalidParameter) << "the calling CPU";
  EXPECT_EQ(t()->startup_this_ap(procedure, 3, &x), Status::Success);
  Call const& last = m.ring3.calls.back();
  EXPECT_EQ(last.index, abi::Syscall::StartApProc);
  EXPECT_EQ(last.a, 0x1000u);
  EXPECT_EQ(last.b, 3u);
  EXPECT_EQ(last.c, address_of(&x));
}

std::vector<Status> g_from_ap;
void MM_EFIAPI calls_services(void*) {
  MmSystemTable* const t = Bench::current->mmst();
  Guid const guid = guid_of(1);
  Guid const cpu_protocol = guids::gEfiMmCpuProtocolGuid;
  void* p = nullptr;
  u64 memory = 0;
  u64 size = 8;
  Handle handle = 0;
  g_from_ap = {t->install_configuration_table(t, &guid, &memory, 8),
               t->allocate_pool(6, 8, &p),
               t->free_pool(&p),
               t->allocate_pages(0, 6, 1, &memory),
               t->free_pages(0x1000, 1),
               t->startup_this_ap(calls_services, 2, nullptr),
               t->install_protocol(&handle, &guid, 0, nullptr),
               t->uninstall_protocol(1, &cpu_protocol, nullptr),
               t->handle_protocol(1, &cpu_protocol, &p),
               t->register_protocol_notify(&guid, nullptr, &p),
               t->locate_handle(2, &cpu_protocol, nullptr, &size, &handle),
               t->locate_protocol(&cpu_protocol, nullptr, &p),
               t->mmi_manage(nullptr, nullptr, nullptr, nullptr),
               t->mmi_handler_register(nullptr, nullptr, &handle),
               t->mmi_handler_unregister(1),
               Bench::current->protocols.cpu.read_save_state(&Bench::current->protocols.cpu, 8, 38, 0, &memory)};
}

TEST_F(Services, AnApProcedureGetsNoService) {
  g_from_ap.clear();
  m.ring3.on_start_ap = [](u64 procedure, u64 argument) { Bench::Thunks::command(2, procedure, argument); };
  ASSERT_EQ(t()->startup_this_ap(calls_services, 1, nullptr), Status::Success);
  EXPECT_EQ(g_from_ap, std::vector<Status>(16, Status::AccessDenied));
  EXPECT_EQ(m.ring3.count(abi::Syscall::StartApProc), 1u) << "ring 0 was not asked by the AP";
  void* p = nullptr;
  EXPECT_EQ(t()->allocate_pool(6, 8, &p), Status::Success) << "the BSP has them again";
}

Status MM_EFIAPI starts_ap(Handle, void const*, void*, u64*) {
  return Bench::current->mmst()->startup_this_ap(calls_services, 1, nullptr);
}

TEST_F(Services, AFaultOfTheBspWhileItWaitedReopensTheServices) {
  m.ring3.on_start_ap = [this](u64, u64) { m.raise(0x1234); };  // START_AP_PROC refused and contained
  Handle handle = 0;
  ASSERT_EQ(t()->mmi_handler_register(starts_ap, &a, &handle), Status::Success);
  EXPECT_EQ(m.send(a, {1}).return_status, static_cast<u64>(Status::Aborted));
  void* p = nullptr;
  EXPECT_EQ(t()->allocate_pool(6, 8, &p), Status::Success);
}

TEST_F(Services, WithoutMemoryEachServiceSaysSo) {
  for (u64 bytes : {32ull, 64ull, 96ull, 224ull, 480ull, 992ull, 2016ull}) {
    void* block = nullptr;  // what is left of every size class
    m.ring3.page_limit = 0;
    while (t()->allocate_pool(6, bytes, &block) == Status::Success) {
    }
    EXPECT_EQ(t()->allocate_pool(6, bytes, &block), Status::OutOfResources);
  }
  void* block = nullptr;
  u64 memory = 0;
  Handle handle = 0;
  EXPECT_EQ(t()->allocate_pool(5, 100000, &block), Status::OutOfResources);
  EXPECT_EQ(t()->allocate_pages(0, 6, 1, &memory), Status::OutOfResources);
  EXPECT_EQ(t()->install_protocol(&handle, &a, 0, &x), Status::OutOfResources);
  EXPECT_EQ(handle, 0u);
  EXPECT_EQ(t()->register_protocol_notify(
                &a, [](Guid const*, void*, Handle) MM_EFIAPI { return Status::Success; }, &block),
            Status::OutOfResources);
  EXPECT_EQ(t()->mmi_handler_register([](Handle, void const*, void*, u64*) MM_EFIAPI { return Status::Success; }, &a,
                                      &handle),
            Status::OutOfResources);
  Status table = Status::Success;
  for (u8 n = 0; n < 200 && table == Status::Success; ++n) {
    Guid const guid = guid_of(n);
    table = t()->install_configuration_table(t(), &guid, &x, 1);
  }
  EXPECT_EQ(table, Status::OutOfResources);
  EXPECT_EQ(m.send(guids::gEfiEndOfDxeEventGroupGuid, {0}).return_status, static_cast<u64>(Status::NotFound))
      << "an event of which the drivers could not be told";
  m.ring3.page_limit = UINT64_MAX;
  EXPECT_EQ(t()->install_protocol(&handle, &a, 0, &x), Status::Success) << "nothing of the attempts is left";
}

TEST_F(Services, InstallProtocolErrors) {
  Handle handle = 0;
  EXPECT_EQ(t()->install_protocol(nullptr, &a, 0, &x), Status::InvalidParameter);
  EXPECT_EQ(t()->install_protocol(&handle, nullptr, 0, &x), Status::InvalidParameter);
  EXPECT_EQ(t()->install_protocol(&handle, &a, 1, &x), Status::InvalidParameter);
  Handle unknown = 0xDEAD'BEEF'0000;
  EXPECT_EQ(t()->install_protocol(&unknown, &a, 0, &x), Status::InvalidParameter);
  handle = install(a, &x);
  EXPECT_EQ(t()->install_protocol(&handle, &a, 0, &y), Status::InvalidParameter) << "already on it";
  EXPECT_EQ(t()->install_protocol(&handle, &b, 0, nullptr), Status::Success) << "a null interface is allowed";
}

TEST_F(Services, UninstallAndHandleProtocol) {
  Handle const handle = install(a, &x);
  void* found = &y;
  EXPECT_EQ(t()->handle_protocol(handle, nullptr, &found), Status::InvalidParameter);
  EXPECT_EQ(t()->handle_protocol(handle, &a, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->handle_protocol(0xFFFF'FFFF'FFFF, &a, &found), Status::InvalidParameter);
  EXPECT_EQ(found, nullptr);
  EXPECT_EQ(t()->handle_protocol(handle, &b, &found), Status::Unsupported);
  EXPECT_EQ(t()->handle_protocol(handle, &a, &found), Status::Success);
  EXPECT_EQ(found, &x);
  EXPECT_EQ(t()->uninstall_protocol(handle, nullptr, &x), Status::InvalidParameter);
  EXPECT_EQ(t()->uninstall_protocol(handle, &a, &y), Status::NotFound);
  EXPECT_EQ(t()->uninstall_protocol(handle, &a, &x), Status::Success);
  EXPECT_EQ(t()->uninstall_protocol(handle, &a, &x), Status::InvalidParameter)
      << "the handle went with its last protocol";
}

TEST_F(Services, LocateHandleErrors) {
  u64 size = 64;
  Handle found[8]{};
  u64 none = 0;
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, nullptr, found), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, &size, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_handle(2, nullptr, nullptr, &size, found), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_handle(1, nullptr, nullptr, &size, found), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_handle(3, &a, nullptr, &size, found), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, &size, found), Status::NotFound);
  Handle const one = install(a, &x);
  Handle const two = install(a, &y);
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, &none, nullptr), Status::BufferTooSmall);
  EXPECT_EQ(none, 16u);
  u64 room = 8;
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, &room, found), Status::BufferTooSmall);
  EXPECT_EQ(found[0], one) << "what fits is filled";
  EXPECT_EQ(t()->locate_handle(2, &a, nullptr, &size, found), Status::Success);
  EXPECT_EQ(size, 16u);
  EXPECT_EQ(found[1], two);
}

TEST_F(Services, AllHandlesInCreationOrder) {
  Handle const one = install(a, &x);
  Handle const two = install(a, &y);
  EXPECT_EQ(t()->uninstall_protocol(one, &b, nullptr), Status::NotFound);
  install(b, &x, one);
  ASSERT_EQ(t()->uninstall_protocol(one, &a, &x), Status::Success);
  Handle found[32]{};
  u64 size = sizeof(found);
  ASSERT_EQ(t()->locate_handle(0, nullptr, nullptr, &size, found), Status::Success);
  u64 const n = size / 8;
  ASSERT_GE(n, 2u);
  EXPECT_EQ(found[n - 2], one);
  EXPECT_EQ(found[n - 1], two);
}

std::vector<void*> g_notified;
Status MM_EFIAPI on_install(Guid const*, void* interface, Handle) {
  g_notified.push_back(interface);
  return Status::DeviceError;  // ignored
}
Status MM_EFIAPI on_install_too(Guid const*, void*, Handle) {
  g_notified.push_back(nullptr);
  return Status::Success;
}

TEST_F(Services, NotificationsOnlyForTheFutureAndInOrder) {
  g_notified.clear();
  install(a, &x);
  void* first = nullptr;
  void* second = nullptr;
  void* again = nullptr;
  EXPECT_EQ(t()->register_protocol_notify(nullptr, on_install, &first), Status::InvalidParameter);
  EXPECT_EQ(t()->register_protocol_notify(&a, on_install, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->register_protocol_notify(&a, nullptr, &first), Status::NotFound);
  ASSERT_EQ(t()->register_protocol_notify(&a, on_install, &first), Status::Success);
  ASSERT_EQ(t()->register_protocol_notify(&a, on_install_too, &second), Status::Success);
  ASSERT_EQ(t()->register_protocol_notify(&a, on_install, &again), Status::Success);
  EXPECT_EQ(first, again);
  EXPECT_TRUE(g_notified.empty());
  install(a, &y);
  EXPECT_EQ(g_notified, (std::vector<void*>{&y, nullptr}));
  EXPECT_EQ(t()->register_protocol_notify(&a, nullptr, &first), Status::Success);
  install(a, &x);
  EXPECT_EQ(g_notified.size(), 3u);
}

TEST_F(Services, SearchByRegistrationGivesEachOnce) {
  void* token = nullptr;
  ASSERT_EQ(t()->register_protocol_notify(&a, on_install, &token), Status::Success);
  Handle const one = install(a, &x);
  install(a, &y);
  Handle found = 0;
  u64 none = 0;
  u64 size = 8;
  EXPECT_EQ(t()->locate_handle(1, nullptr, token, &none, nullptr), Status::BufferTooSmall);
  EXPECT_EQ(t()->locate_handle(1, nullptr, token, &size, &found), Status::Success);
  EXPECT_EQ(found, one) << "a search that did not fit does not advance";
  void* interface = nullptr;
  EXPECT_EQ(t()->locate_protocol(&a, token, &interface), Status::Success);
  EXPECT_EQ(interface, &y);
  EXPECT_EQ(t()->locate_protocol(&a, token, &interface), Status::NotFound);
  EXPECT_EQ(interface, nullptr);
  EXPECT_EQ(t()->locate_handle(1, nullptr, token, &size, &found), Status::NotFound);
}

Status MM_EFIAPI removes_the_next(Guid const* protocol, void* interface, Handle handle) {
  g_notified.push_back(interface);
  MmSystemTable* const t = Bench::current->mmst();
  EXPECT_EQ(t->register_protocol_notify(protocol, nullptr, static_cast<void**>(interface)), Status::Success);
  EXPECT_EQ(t->uninstall_protocol(handle, protocol, interface), Status::Success);
  return Status::Success;
}

TEST_F(Services, ANotificationMayRemoveTheNextOneAndTheProtocol) {
  g_notified.clear();
  void* first = nullptr;
  void* second = nullptr;
  ASSERT_EQ(t()->register_protocol_notify(&a, removes_the_next, &first), Status::Success);
  ASSERT_EQ(t()->register_protocol_notify(&a, on_install_too, &second), Status::Success);
  Handle handle = 0;
  EXPECT_EQ(t()->install_protocol(&handle, &a, 0, &second), Status::Success);
  EXPECT_EQ(g_notified, (std::vector<void*>{&second}));
  void* found = nullptr;
  EXPECT_EQ(t()->locate_protocol(&a, nullptr, &found), Status::NotFound);
}

TEST_F(Services, LocateProtocolErrors) {
  void* interface = &x;
  EXPECT_EQ(t()->locate_protocol(nullptr, nullptr, &interface), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_protocol(&a, nullptr, nullptr), Status::InvalidParameter);
  EXPECT_EQ(t()->locate_protocol(&a, nullptr, &interface), Status::NotFound);
  EXPECT_EQ(interface, nullptr);
  install(a, &x);
  install(a, &y);
  EXPECT_EQ(t()->locate_protocol(&a, nullptr, &interface), Status::Success);
  EXPECT_EQ(interface, &x);
}

TEST_F(Services, ExceptionTestMode) {
  MmExceptionTestProtocol* test = nullptr;
  ASSERT_EQ(t()->locate_protocol(&guids::gSmmExceptionTestProtocolGuid, nullptr, reinterpret_cast<void**>(&test)),
            Status::Success);
  EXPECT_EQ(test->enable_test_mode(), Status::Success);
}

TEST_F(Services, SaveStateInTwoPhases) {
  MmCpuProtocol* cpu = nullptr;
  ASSERT_EQ(t()->locate_protocol(&guids::gEfiMmCpuProtocolGuid, nullptr, reinterpret_cast<void**>(&cpu)),
            Status::Success);
  u64 value = 0;
  EXPECT_EQ(cpu->read_save_state(nullptr, 8, 38, 0, &value), Status::InvalidParameter);
  EXPECT_EQ(cpu->read_save_state(cpu, 8, 38, 0, nullptr), Status::InvalidParameter);
  EXPECT_EQ(cpu->read_save_state(cpu, 8, 38, 4, &value), Status::InvalidParameter);
  EXPECT_EQ(cpu->read_save_state(cpu, 8, 515, 0, &value), Status::NotFound);
  EXPECT_EQ(m.ring3.count(abi::Syscall::SaveStateRead), 0u);
  m.ring3.answers[abi::Syscall::SaveStateRead2] = static_cast<u64>(Status::AccessDenied);
  EXPECT_EQ(cpu->read_save_state(cpu, 8, 38, 1, &value), Status::AccessDenied);
  EXPECT_EQ(m.ring3.count(abi::Syscall::SaveStateRead), 1u);
  EXPECT_EQ(cpu->write_save_state(cpu, 8, 38, 1, &value), Status::Unsupported);
}

}  // namespace
}  // namespace mm::user::test
