// SPDX-License-Identifier: BSD-2-Clause-Patent
// MmstProbe (GUID ..0090): calls one service of the MMST in every way whose answer is documented. Message: u64 service,
// room for the reply. Reply: u64 statuses in the order of the calls below.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using namespace mm;
using driver::Handle;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0090"_guid;
constexpr Guid kA = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EC001"_guid;
constexpr Guid kB = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EC002"_guid;
constexpr u64 kMostStatuses = 30;

driver::MmSystemTable* g_mmst = nullptr;

enum class Service : u64 {
  Pool = 1,
  Pages = 2,
  ConfigurationTable = 3,
  Protocols = 4,
  Notifications = 5,
  Locate = 6,
  Manage = 7,
  SaveState = 8,
  StartupThisAp = 9,
  Exhaustion = 10,
  ManageRoot = 12,  ///< second u64: 0 to 3
  PoolLoad = 11,    ///< second u64: allocations and frees, in one MMI; reply: one status
};

/// Collects what the calls returned.
struct Answers {
  void* buffer;
  u64 room;
  u64 count = 0;
  void operator()(Status status) noexcept { (*this)(static_cast<u64>(status)); }
  void operator()(u64 value) noexcept {
    if (count < room) {
      driver::put(buffer, 8 * count++, value);
    }
  }
};

int g_x, g_y;

void pool(Answers& out) noexcept {
  void* p = nullptr;
  out(g_mmst->allocate_pool(6, 64, nullptr));
  out(g_mmst->allocate_pool(7, 64, &p));
  out(g_mmst->allocate_pool(6, UINT64_MAX, &p));
  out(g_mmst->allocate_pool(5, 64, &p));
  out(user::address_of(p) % 16);
  out(g_mmst->free_pool(p));
  out(driver::get<u8>(p, 20));
  out(g_mmst->free_pool(p));
  out(g_mmst->free_pool(nullptr));
  out(g_mmst->free_pool(&p));
  out(g_mmst->allocate_pool(6, 0, &p));
  out(g_mmst->free_pool(static_cast<u8*>(p) + 8));
  out(g_mmst->free_pool(p));
  out(g_mmst->allocate_pool(6, 200'000, &p));
  __builtin_memset(p, 0x5A, 200'000);
  out(g_mmst->free_pool(p));
  out(g_mmst->free_pool(p));
}

void pages(Answers& out) noexcept {
  u64 base = 0;
  out(g_mmst->allocate_pages(0, 6, 1, nullptr));
  out(g_mmst->allocate_pages(0, 6, 0, &base));
  out(g_mmst->allocate_pages(3, 6, 1, &base));
  out(g_mmst->allocate_pages(0, 4, 1, &base));
  out(g_mmst->allocate_pages(0, 5, 1, &base));
  base = 0x1000'0000;
  out(g_mmst->allocate_pages(2, 6, 1, &base));
  base = 0xFFFF;
  out(g_mmst->allocate_pages(1, 6, 1, &base));
  base = UINT64_MAX;
  out(g_mmst->allocate_pages(1, 6, 4, &base));
  out(driver::get<u64>(driver::at<void>(base), 4 * kPageSize - 8));
  out(g_mmst->free_pages(0, 1));
  out(g_mmst->free_pages(base, 0));
  out(g_mmst->free_pages(base + 8, 1));
  out(g_mmst->free_pages(base, 5));
  out(g_mmst->free_pages(base, UINT64_MAX));
  out(g_mmst->free_pages(base + kPageSize, 2));
  out(g_mmst->free_pages(base + kPageSize, 1));
  out(g_mmst->free_pages(base, 1));
  out(g_mmst->free_pages(base + 3 * kPageSize, 1));
  out(g_mmst->free_pages(base + 3 * kPageSize, 1));
  out(g_mmst->free_pages(user::address_of(g_mmst) & ~u64{0xFFF}, 1));
}

void configuration_table(Answers& out) noexcept {
  u64 const before = g_mmst->number_of_table_entries;
  out(g_mmst->install_configuration_table(g_mmst, nullptr, &g_x, 4));
  out(g_mmst->install_configuration_table(g_mmst, &kA, nullptr, 0));
  out(g_mmst->install_configuration_table(g_mmst, &kA, &g_x, 4));
  out(g_mmst->install_configuration_table(g_mmst, &kB, &g_x, 4));
  out(g_mmst->install_configuration_table(g_mmst, &kA, &g_y, 4));
  out(u64{g_mmst->configuration_table[before].table == &g_y ? 1u : 0u});
  out(g_mmst->number_of_table_entries - before);
  out(g_mmst->install_configuration_table(g_mmst, &kA, nullptr, 0));
  out(u64{g_mmst->configuration_table[before].guid == kB ? 1u : 0u});
  out(g_mmst->install_configuration_table(g_mmst, &kB, nullptr, 0));
  out(g_mmst->number_of_table_entries - before);
}

void protocols(Answers& out) noexcept {
  Handle handle = 0;
  Handle unknown = 0xDEAD'0000;
  void* found = &g_x;
  out(g_mmst->install_protocol(nullptr, &kA, 0, &g_x));
  out(g_mmst->install_protocol(&handle, nullptr, 0, &g_x));
  out(g_mmst->install_protocol(&handle, &kA, 1, &g_x));
  out(g_mmst->install_protocol(&unknown, &kA, 0, &g_x));
  out(g_mmst->install_protocol(&handle, &kA, 0, &g_x));
  out(g_mmst->install_protocol(&handle, &kA, 0, &g_y));
  out(g_mmst->handle_protocol(handle, nullptr, &found));
  out(g_mmst->handle_protocol(handle, &kA, nullptr));
  out(g_mmst->handle_protocol(unknown, &kA, &found));
  out(g_mmst->handle_protocol(handle, &kB, &found));
  out(u64{found == nullptr ? 1u : 0u});
  out(g_mmst->handle_protocol(handle, &kA, &found));
  out(u64{found == &g_x ? 1u : 0u});
  out(g_mmst->uninstall_protocol(handle, nullptr, &g_x));
  out(g_mmst->uninstall_protocol(unknown, &kA, &g_x));
  out(g_mmst->uninstall_protocol(handle, &kA, &g_y));
  out(g_mmst->uninstall_protocol(handle, &kA, &g_x));
  out(g_mmst->uninstall_protocol(handle, &kA, &g_x));
}

u64 g_told = 0;
Status MM_EFIAPI told(Guid const*, void*, Handle) {
  ++g_told;
  return Status::DeviceError;  // ignored
}

void notifications(Answers& out) noexcept {
  void* first = nullptr;
  void* again = nullptr;
  Handle handle = 0;
  g_told = 0;
  out(g_mmst->register_protocol_notify(nullptr, told, &first));
  out(g_mmst->register_protocol_notify(&kA, told, nullptr));
  out(g_mmst->register_protocol_notify(&kA, nullptr, &first));
  out(g_mmst->install_protocol(&handle, &kB, 0, &g_x));
  out(g_mmst->register_protocol_notify(&kB, told, &first));
  out(g_told);
  out(g_mmst->register_protocol_notify(&kB, told, &again));
  out(u64{first == again ? 1u : 0u});
  Handle second = 0;
  out(g_mmst->install_protocol(&second, &kB, 0, &g_y));
  out(g_told);
  void* found = nullptr;
  out(g_mmst->locate_protocol(&kB, first, &found));
  out(u64{found == &g_y ? 1u : 0u});
  out(g_mmst->locate_protocol(&kB, first, &found));
  out(g_mmst->register_protocol_notify(&kB, nullptr, &first));
  out(g_mmst->register_protocol_notify(&kB, nullptr, &first));
  out(g_mmst->uninstall_protocol(handle, &kB, &g_x));
  out(g_mmst->uninstall_protocol(second, &kB, &g_y));
}

void locate(Answers& out) noexcept {
  Handle found[4] = {};
  Handle one = 0;
  Handle two = 0;
  u64 size = sizeof(found);
  u64 none = 0;
  void* interface = &g_x;
  out(g_mmst->locate_handle(2, &kA, nullptr, nullptr, found));
  out(g_mmst->locate_handle(2, &kA, nullptr, &size, nullptr));
  out(g_mmst->locate_handle(2, nullptr, nullptr, &size, found));
  out(g_mmst->locate_handle(1, nullptr, nullptr, &size, found));
  out(g_mmst->locate_handle(3, &kA, nullptr, &size, found));
  out(g_mmst->locate_handle(2, &kA, nullptr, &size, found));
  out(g_mmst->locate_protocol(nullptr, nullptr, &interface));
  out(g_mmst->locate_protocol(&kA, nullptr, nullptr));
  out(g_mmst->locate_protocol(&kA, nullptr, &interface));
  out(u64{interface == nullptr ? 1u : 0u});
  out(g_mmst->install_protocol(&one, &kA, 0, &g_x));
  out(g_mmst->install_protocol(&two, &kA, 0, &g_y));
  out(g_mmst->locate_handle(2, &kA, nullptr, &none, nullptr));
  out(none);
  u64 half = sizeof(Handle);
  out(g_mmst->locate_handle(2, &kA, nullptr, &half, found));
  out(u64{found[0] == one ? 1u : 0u});
  out(g_mmst->locate_handle(2, &kA, nullptr, &size, found));
  out(u64{size == 2 * sizeof(Handle) && found[1] == two ? 1u : 0u});
  u64 all = 0;
  out(g_mmst->locate_handle(0, nullptr, nullptr, &all, nullptr));
  out(u64{all >= 4 * sizeof(Handle) ? 1u : 0u});
  out(g_mmst->uninstall_protocol(one, &kA, &g_x));
  out(g_mmst->uninstall_protocol(two, &kA, &g_y));
}

Status g_answers[3];
u64 g_called = 0;
template <u64 N>
Status MM_EFIAPI answers(Handle, void const*, void*, u64*) {
  ++g_called;
  return g_answers[N];
}

/// MmiManage over three handlers with these statuses: its result, then how many were called. Null: root handlers.
void manage_with(Answers& out, Guid const* type, Status a, Status b, Status c) noexcept {
  Handle handles[3] = {};
  user::MmiHandlerFn const functions[3] = {answers<0>, answers<1>, answers<2>};
  Status const statuses[3] = {a, b, c};
  for (u64 i = 0; i < 3; ++i) {
    g_answers[i] = statuses[i];
    static_cast<void>(g_mmst->mmi_handler_register(functions[i], type, &handles[i]));
  }
  g_called = 0;
  out(g_mmst->mmi_manage(type, nullptr, nullptr, nullptr));
  out(g_called);
  for (Handle const handle : handles) {
    static_cast<void>(g_mmst->mmi_handler_unregister(handle));
  }
}

void manage(Answers& out) noexcept {
  constexpr auto kOther = Status::DeviceError;
  constexpr auto kPending = Status::InterruptPending;
  constexpr auto kQuiesced = Status::WarnInterruptSourceQuiesced;
  constexpr auto kSourcePending = Status::WarnInterruptSourcePending;
  Handle handle = 0;
  out(g_mmst->mmi_handler_register(nullptr, &kA, &handle));
  out(g_mmst->mmi_handler_register(answers<0>, &kA, nullptr));
  out(g_mmst->mmi_handler_unregister(0));
  out(g_mmst->mmi_handler_unregister(1));
  out(g_mmst->mmi_handler_unregister(0xDEAD'0000));
  out(g_mmst->mmi_manage(&kA, nullptr, nullptr, nullptr));
  // A handler that is unregistered during a dispatch, such as this one, still runs until it ends: a GUID for each.
  Status const statuses[][3] = {{kOther, Status::Success, Status::Success},
                                {kQuiesced, kPending, Status::Success},
                                {kQuiesced, kSourcePending, kOther},
                                {kSourcePending, kOther, kOther},
                                {kOther, kOther, kOther}};
  Guid type = kA;
  for (auto const& three : statuses) {
    manage_with(out, &type, three[0], three[1], three[2]);
    ++type.data1;
  }
  g_called = 0;
  out(g_mmst->mmi_manage(&kA, nullptr, nullptr, nullptr));
  out(g_called);
}

void manage_root(Answers& out, u64 which) noexcept {
  constexpr auto kOther = Status::DeviceError;
  constexpr auto kPending = Status::InterruptPending;
  constexpr auto kSourcePending = Status::WarnInterruptSourcePending;
  switch (which) {
    case 0:
      return manage_with(out, nullptr, Status::Success, kPending, kOther);
    case 1:
      return manage_with(out, nullptr, kPending, kSourcePending, kOther);
    case 2:
      return manage_with(out, nullptr, kSourcePending, Status::WarnInterruptSourceQuiesced, kPending);
    default:
      return manage_with(out, nullptr, kOther, kOther, kOther);
  }
}

void save_state(Answers& out) noexcept {
  void* found = nullptr;
  out(g_mmst->locate_protocol(&guids::gEfiMmCpuProtocolGuid, nullptr, &found));
  auto const* const cpu = static_cast<user::MmCpuProtocol const*>(found);
  u64 value = 0;
  out(cpu->read_save_state(nullptr, 8, 38, 0, &value));
  out(cpu->read_save_state(cpu, 8, 38, 0, nullptr));
  out(cpu->read_save_state(cpu, 8, 38, g_mmst->number_of_cpus, &value));
  out(cpu->read_save_state(cpu, 8, 515, 0, &value));
  out(cpu->read_save_state(cpu, 8, 514, 0, &value));
  out(cpu->write_save_state(cpu, 8, 38, 0, &value));
}

void MM_EFIAPI nothing(void*) {}

void startup_this_ap(Answers& out) noexcept {
  out(g_mmst->startup_this_ap(nullptr, 1, nullptr));
  out(g_mmst->startup_this_ap(nothing, g_mmst->number_of_cpus, nullptr));
  out(g_mmst->startup_this_ap(nothing, g_mmst->currently_executing_cpu, nullptr));
  out(g_mmst->startup_this_ap(nothing, 1, nullptr));
  u64 value = 0;
  out(g_mmst->io_read(nullptr, 0, 0x80, 1, &value));
  out(g_mmst->mem_write(nullptr, 0, 0x80, 1, &value));
}

/// Takes every page, then asks for more in every way, and gives it all back.
void exhaustion(Answers& out) noexcept {
  struct Run {
    Run* next;
    u64 pages;
  };
  Run* runs = nullptr;
  for (u64 pages = 4096; pages != 0;) {
    u64 base = 0;
    if (g_mmst->allocate_pages(0, 6, pages, &base) != Status::Success) {
      pages /= 2;
      continue;
    }
    auto* const run = driver::at<Run>(base);
    *run = {runs, pages};
    runs = run;
  }
  void* blocks = nullptr;
  void* p = nullptr;
  while (g_mmst->allocate_pool(6, 64, &p) == Status::Success) {
    driver::put(p, 0, blocks);
    blocks = p;
  }
  u64 base = 0;
  Handle handle = 0;
  out(g_mmst->allocate_pool(6, 64, &p));
  out(g_mmst->allocate_pool(6, 100'000, &p));
  out(g_mmst->allocate_pages(0, 6, 1, &base));
  while (g_mmst->allocate_pool(6, 150, &p) == Status::Success) {
    driver::put(p, 0, blocks);
    blocks = p;
  }
  out(g_mmst->install_protocol(&handle, &kA, 0, &g_x));
  out(g_mmst->register_protocol_notify(&kA, told, &p));
  out(g_mmst->mmi_handler_register(answers<0>, &kA, &handle));
  while (blocks != nullptr) {
    void* const next = driver::get<void*>(blocks);
    static_cast<void>(g_mmst->free_pool(blocks));
    blocks = next;
  }
  while (runs != nullptr) {
    Run const run = *runs;
    static_cast<void>(g_mmst->free_pages(user::address_of(runs), run.pages));
    runs = run.next;
  }
  out(g_mmst->install_protocol(&handle, &kA, 0, &g_x));
  out(g_mmst->uninstall_protocol(handle, &kA, &g_x));
}

/// Keeps 64 blocks of mixed sizes alive and replaces one at each step.
void pool_load(Answers& out, u64 steps) noexcept {
  constexpr u64 kLive = 64;
  void* live[kLive] = {};
  Status status = Status::Success;
  for (u64 i = 0; i < steps && status == Status::Success; ++i) {
    void*& slot = live[i % kLive];
    if (slot != nullptr) {
      status = g_mmst->free_pool(slot);
    }
    slot = nullptr;
    if (status == Status::Success) {
      status = g_mmst->allocate_pool(6, i * 97 % 1500, &slot);
    }
  }
  for (void* const block : live) {
    if (block != nullptr) {
      static_cast<void>(g_mmst->free_pool(block));
    }
  }
  out(status);
}

Status MM_EFIAPI on_message(Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 8 * kMostStatuses) {
    return Status::InvalidParameter;
  }
  auto const service = Service{driver::get<u64>(buffer, 0)};
  u64 const argument = driver::get<u64>(buffer, 8);
  Answers out{buffer, *size / 8};
  switch (service) {
    case Service::Pool:
      pool(out);
      break;
    case Service::Pages:
      pages(out);
      break;
    case Service::ConfigurationTable:
      configuration_table(out);
      break;
    case Service::Protocols:
      protocols(out);
      break;
    case Service::Notifications:
      notifications(out);
      break;
    case Service::Locate:
      locate(out);
      break;
    case Service::Manage:
      manage(out);
      break;
    case Service::SaveState:
      save_state(out);
      break;
    case Service::StartupThisAp:
      startup_this_ap(out);
      break;
    case Service::Exhaustion:
      exhaustion(out);
      break;
    case Service::ManageRoot:
      manage_root(out, argument);
      break;
    case Service::PoolLoad:
      pool_load(out, argument);
      break;
    default:
      return Status::Unsupported;
  }
  *size = 8 * out.count;
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
