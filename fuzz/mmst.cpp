// SPDX-License-Identifier: BSD-2-Clause-Patent
// Drivers of the user core as a byte string: which services of the MMST they call, from the top, and from inside their
// MMI handlers and notifications. The core runs natively, its pages come from the host's heap. A model of what the
// services promise goes along (core/user/RING3.md 1).
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tests/support/scripted_ring3.hpp"

namespace {

using namespace mm;
using namespace mm::user;
using namespace mm::user::test;

constexpr u32 kGuids = 4;
constexpr u32 kFunctions = 4;
constexpr u32 kMostDepth = 4;
constexpr u32 kMostNestedCalls = 6;
constexpr u32 kMostCalls = 400;
constexpr u32 kRoot = kGuids;  ///< "no type": root handlers

struct Block {
  u8* at = nullptr;
  u64 size = 0;
  u8 pattern = 0;
};
struct Pages {
  u64 base = 0;
  u64 count = 0;
};
struct Handler {
  u32 type = 0;
  u32 function = 0;
  bool removed = false;  ///< while a dispatch was running, which may still call it
};

/// One run: the core, the rest of the script, and the model.
class Player {
 public:
  explicit Player(std::span<std::byte const> script) : script_(script) { current = this; }
  ~Player() { current = nullptr; }
  Player(Player const&) = delete;
  Player& operator=(Player const&) = delete;

  void play() {
    MM_FUZZ_CHECK(machine_.boot() == Status::Success);
    while (!script_.empty() && calls_ < kMostCalls) {
      step();
    }
    for (Block const& b : blocks_) {
      check_block(b);
      MM_FUZZ_CHECK(t()->free_pool(b.at) == Status::Success);
    }
    for (Pages const& p : pages_) {
      MM_FUZZ_CHECK(t()->free_pages(p.base, p.count) == Status::Success);
    }
  }

  Status on_message(Handle dispatch, u32 function, u64* size) {
    auto const known = handlers_.find(dispatch);
    MM_FUZZ_CHECK(known != handlers_.end());
    MM_FUZZ_CHECK(known->second.function == function);
    MM_FUZZ_CHECK(managed_.empty() || known->second.type == managed_.back() || known->second.type == kRoot);
    nested();
    if (size != nullptr && byte() % 4 == 0) {
      *size = byte() * u64{64};
    }
    constexpr std::array kStatuses{Status::Success, Status::InterruptPending, Status::WarnInterruptSourceQuiesced,
                                   Status::WarnInterruptSourcePending, Status::DeviceError};
    return kStatuses[byte() % kStatuses.size()];
  }

  void on_install(Guid const& guid, u32 function, void* interface, Handle handle) {
    u32 const number = number_of(guid);
    MM_FUZZ_CHECK(notifies_.contains({number, function}));
    if (!installing_.empty() && installing_.back().guid == number && !installing_.back().seen) {
      installing_.back().seen = true;
      interfaces_[{handle, number}] = interface;
    }
    nested();
  }

  static inline Player* current = nullptr;

 private:
  struct Installing {
    u32 guid = 0;
    bool seen = false;  ///< by a notification: the model has it already
  };

  u8 byte() {
    if (script_.empty()) {
      return 0;
    }
    u8 const b = static_cast<u8>(script_[0]);
    script_ = script_.subspan(1);
    return b;
  }
  u64 word() { return byte() | u64{byte()} << 8; }
  MmSystemTable* t() { return machine_.mmst(); }
  static Guid guid(u32 number) { return guid_of(static_cast<u8>(number + 1)); }
  static u32 number_of(Guid const& g) { return g.data4[7] - 1u; }
  void* interface_of(u8 n) { return &objects_[n % objects_.size()]; }

  /// What a driver does from inside a handler or a notification.
  void nested() {
    if (depth_ == kMostDepth) {
      return;
    }
    ++depth_;
    for (u32 n = byte() % kMostNestedCalls; n != 0 && calls_ < kMostCalls; --n) {
      step();
    }
    --depth_;
  }

  void step() {
    ++calls_;
    switch (byte() % 17) {
      case 0:
      case 1:
        return allocate_pool();
      case 2:
        return free_pool();
      case 3:
        return allocate_pages();
      case 4:
        return free_pages();
      case 5:
      case 6:
        return install();
      case 7:
        return uninstall();
      case 8:
        return handle_protocol();
      case 9:
        return locate_protocol();
      case 10:
        return locate_handles();
      case 11:
        return notify();
      case 12:
        return add_handler();
      case 13:
        return remove_handler();
      case 14:
        return depth_ == 0 ? send() : manage();
      case 15:
        return configuration_table();
      default:
        return fault();
    }
  }

  // --- Memory

  static void check_block(Block const& b) {
    MM_FUZZ_CHECK(std::all_of(b.at, b.at + b.size, [&b](u8 v) { return v == b.pattern; }));
  }
  void allocate_pool() {
    u8 const kind = byte();
    u64 const size = kind % 8 == 0 ? word() : word() % 300;
    u32 const type = kind / 8 % 4 == 3 ? 4u : kRuntimeServicesCode + kind / 8 % 2;
    void* memory = nullptr;
    Status const status = t()->allocate_pool(type, size, &memory);
    if (type == 4) {
      MM_FUZZ_CHECK(status == Status::InvalidParameter);
      return;
    }
    MM_FUZZ_CHECK(status == Status::Success);
    Block const fresh{static_cast<u8*>(memory), size, static_cast<u8>(calls_)};
    MM_FUZZ_CHECK(address_of(memory) % 16 == 0);
    for (Block const& b : blocks_) {
      MM_FUZZ_CHECK(fresh.at + fresh.size <= b.at || b.at + b.size <= fresh.at);
    }
    std::memset(fresh.at, fresh.pattern, size);
    blocks_.push_back(fresh);
  }
  void free_pool() {
    u8 const which = byte();
    if (blocks_.empty() || which % 8 == 7) {
      u64 const wild = blocks_.empty() ? which * u64{8} : address_of(blocks_.back().at) + 1 + which % 15;
      MM_FUZZ_CHECK(t()->free_pool(at<void>(wild)) == Status::InvalidParameter);
      return;
    }
    auto const it = blocks_.begin() + static_cast<std::ptrdiff_t>(which % blocks_.size());
    Block const gone = *it;
    check_block(gone);
    blocks_.erase(it);
    MM_FUZZ_CHECK(t()->free_pool(gone.at) == Status::Success);
    MM_FUZZ_CHECK(t()->free_pool(gone.at) == Status::InvalidParameter);
    MM_FUZZ_CHECK(!fuzz::planted("NoLargeBlock") || gone.size < 0x4000);
  }
  void allocate_pages() {
    Pages fresh{0, byte() % 5u};
    Status const status = t()->allocate_pages(kAllocateAnyPages, kRuntimeServicesData, fresh.count, &fresh.base);
    MM_FUZZ_CHECK(status == (fresh.count == 0 ? Status::InvalidParameter : Status::Success));
    if (status == Status::Success) {
      MM_FUZZ_CHECK(fresh.base % kPageSize == 0);
      std::memset(at<void>(fresh.base), 0x5A, fresh.count * kPageSize);
      pages_.push_back(fresh);
    }
  }
  /// Frees a part: what is left before and behind it stays allocated.
  void free_pages() {
    u8 const which = byte();
    u64 const skip = byte() % 4;
    u64 const count = byte() % 5;
    if (pages_.empty()) {
      MM_FUZZ_CHECK(t()->free_pages(which * kPageSize, count) == Status::InvalidParameter);
      return;
    }
    std::size_t const index = which % pages_.size();
    Pages const whole = pages_[index];
    bool const inside = count != 0 && skip + count <= whole.count;
    u64 const from = whole.base + skip * kPageSize;
    if (!inside && overlaps_another(index, from, count)) {
      return;
    }
    MM_FUZZ_CHECK(t()->free_pages(from, count) == (inside ? Status::Success : Status::InvalidParameter));
    if (inside) {
      pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(index));
      if (skip != 0) {
        pages_.push_back({whole.base, skip});
      }
      if (skip + count != whole.count) {
        pages_.push_back({from + count * kPageSize, whole.count - skip - count});
      }
    }
  }
  /// Whether the pages may be those of another allocation, which the heap happened to put behind this one.
  bool overlaps_another(std::size_t index, u64 from, u64 count) const {
    for (std::size_t i = 0; i < pages_.size(); ++i) {
      if (i != index && Range{pages_[i].base, pages_[i].count * kPageSize}.overlaps({from, count * kPageSize + 1})) {
        return true;
      }
    }
    return false;
  }

  // --- Protocols

  Handle pick_handle(u8 n) const {
    if (interfaces_.empty() || n % 16 == 15) {
      return 0x7777'0000 + n;
    }
    auto it = interfaces_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(n % interfaces_.size()));
    return it->first.first;
  }
  bool is_handle(Handle h) const {
    return std::ranges::any_of(interfaces_, [h](auto const& entry) { return entry.first.first == h; });
  }
  void install() {
    u8 const which = byte();
    u32 const number = which / 16 % kGuids;
    Handle handle = which % 16 < 6 ? 0 : pick_handle(which % 16);
    Guid const g = guid(number);
    void* const interface = interface_of(byte());
    bool const good = handle == 0 || (is_handle(handle) && !interfaces_.contains({handle, number}));
    installing_.push_back({number, false});
    Status const status = t()->install_protocol(&handle, &g, 0, interface);
    bool const seen = installing_.back().seen;
    installing_.pop_back();
    MM_FUZZ_CHECK(status == (good ? Status::Success : Status::InvalidParameter));
    if (good && !seen) {
      interfaces_[{handle, number}] = interface;
    }
  }
  void uninstall() {
    u8 const which = byte();
    Handle const handle = pick_handle(which % 16);
    u32 const number = which / 16 % kGuids;
    Guid const g = guid(number);
    auto const there = interfaces_.find({handle, number});
    void* const interface = there != interfaces_.end() && which < 192 ? there->second : interface_of(which);
    Status const status = t()->uninstall_protocol(handle, &g, interface);
    if (!is_handle(handle)) {
      MM_FUZZ_CHECK(status == Status::InvalidParameter);
    } else if (there == interfaces_.end() || there->second != interface) {
      MM_FUZZ_CHECK(status == Status::NotFound);
    } else {
      MM_FUZZ_CHECK(status == Status::Success);
      interfaces_.erase(there);
    }
  }
  void handle_protocol() {
    u8 const which = byte();
    Handle const handle = pick_handle(which % 16);
    Guid const g = guid(which / 16 % kGuids);
    auto const there = interfaces_.find({handle, which / 16 % kGuids});
    void* found = this;
    Status const status = t()->handle_protocol(handle, &g, &found);
    if (there != interfaces_.end()) {
      MM_FUZZ_CHECK(status == Status::Success && found == there->second);
    } else {
      MM_FUZZ_CHECK(status == (is_handle(handle) ? Status::Unsupported : Status::InvalidParameter));
      MM_FUZZ_CHECK(found == nullptr);
    }
  }
  u64 count_of(u32 number) const {
    return static_cast<u64>(
        std::ranges::count_if(interfaces_, [number](auto const& entry) { return entry.first.second == number; }));
  }
  void locate_protocol() {
    u32 const number = byte() % kGuids;
    Guid const g = guid(number);
    void* found = this;
    Status const status = t()->locate_protocol(&g, nullptr, &found);
    MM_FUZZ_CHECK(status == (count_of(number) != 0 ? Status::Success : Status::NotFound));
    MM_FUZZ_CHECK(status != Status::Success || std::ranges::any_of(interfaces_, [&](auto const& entry) {
                    return entry.first.second == number && entry.second == found;
                  }));
  }
  void locate_handles() {
    u8 const which = byte();
    Guid const g = guid(which % kGuids);
    std::array<Handle, 8> found{};
    u64 const room = which / 16 % 9;
    u64 size = room * sizeof(Handle);
    u64 const there = count_of(which % kGuids);
    Status const status = t()->locate_handle(kSearchByProtocol, &g, nullptr, &size, found.data());
    if (there == 0) {
      MM_FUZZ_CHECK(status == Status::NotFound);
      return;
    }
    MM_FUZZ_CHECK(status == (there <= room ? Status::Success : Status::BufferTooSmall));
    MM_FUZZ_CHECK(size == there * sizeof(Handle));
    for (u64 i = 0; status == Status::Success && i < there; ++i) {
      MM_FUZZ_CHECK(interfaces_.contains({found[i], which % kGuids}));
    }
  }

  // --- Notifications and handlers

  template <u32 N>
  static Status MM_EFIAPI notified(Guid const* protocol, void* interface, Handle handle) {
    current->on_install(*protocol, N, interface, handle);
    return Status::Success;
  }
  template <u32 N>
  static Status MM_EFIAPI handled(Handle dispatch, void const*, void*, u64* size) {
    return current->on_message(dispatch, N, size);
  }
  static constexpr std::array<NotifyFn, kFunctions> kNotifies{notified<0>, notified<1>, notified<2>, notified<3>};
  static constexpr std::array<MmiHandlerFn, kFunctions> kHandlers{handled<0>, handled<1>, handled<2>, handled<3>};

  void notify() {
    u8 const which = byte();
    std::pair<u32, u32> const pair{which % kGuids, which / 16 % kFunctions};
    Guid const g = guid(pair.first);
    auto const known = notifies_.find(pair);
    if (which < 128) {
      void* token = nullptr;
      MM_FUZZ_CHECK(t()->register_protocol_notify(&g, kNotifies[pair.second], &token) == Status::Success);
      MM_FUZZ_CHECK(known == notifies_.end() || known->second == token);
      notifies_[pair] = token;
      return;
    }
    void* token = known != notifies_.end() ? known->second : at<void>(0x5555'0000);
    Status const status = t()->register_protocol_notify(&g, nullptr, &token);
    MM_FUZZ_CHECK(status == (known != notifies_.end() ? Status::Success : Status::NotFound));
    notifies_.erase(pair);
  }

  void add_handler() {
    u8 const which = byte();
    u32 const type = which % (kGuids + 1);
    u32 const function = which / 16 % kFunctions;
    Guid const g = guid(type);
    Handle dispatch = 0;
    if (handlers_.size() > 64) {
      return;
    }
    MM_FUZZ_CHECK(t()->mmi_handler_register(kHandlers[function], type == kRoot ? nullptr : &g, &dispatch) ==
                  Status::Success);
    MM_FUZZ_CHECK(dispatch != 0 && !handlers_.contains(dispatch));
    handlers_[dispatch] = {type, function, false};
  }
  void remove_handler() {
    u8 const which = byte();
    if (handlers_.empty() || which % 16 == 15) {
      MM_FUZZ_CHECK(t()->mmi_handler_unregister(0x6666'0000 + which) == Status::InvalidParameter);
      return;
    }
    auto it = handlers_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(which % handlers_.size()));
    Status const status = t()->mmi_handler_unregister(it->first);
    MM_FUZZ_CHECK(status == Status::Success || it->second.removed);
    if (dispatches_ == 0) {
      handlers_.erase(it);
    } else {
      it->second.removed = true;
    }
  }
  void end_dispatch() {
    if (--dispatches_ == 0) {
      std::erase_if(handlers_, [](auto const& entry) { return entry.second.removed; });
    }
  }
  bool is_handled(u32 type) const {
    return std::ranges::any_of(handlers_, [type](auto const& entry) { return entry.second.type == type; });
  }
  void manage() {
    u32 const type = byte() % (kGuids + 1);
    Guid const g = guid(type);
    bool const nobody = !is_handled(type);
    u64 size = 64;
    ++dispatches_;
    managed_.push_back(type);
    Status const status = t()->mmi_manage(type == kRoot ? nullptr : &g, nullptr, payload_.data(), &size);
    managed_.pop_back();
    end_dispatch();
    MM_FUZZ_CHECK(!nobody || status == Status::NotFound);
  }

  /// A message from outside. A fault ends everything that was running.
  void send() {
    u8 const which = byte();
    std::vector<u8> const data(which % 128);
    ++dispatches_;
    serving_ = true;
    auto const status = machine_.send(guid(which % kGuids), data);
    serving_ = false;
    depth_ = 0;
    managed_.clear();
    installing_.clear();
    dispatches_ = 1;
    end_dispatch();
    MM_FUZZ_CHECK(status.return_buffer_size <= kPageSize);
  }
  void fault() {
    if (serving_ && faults_left_ != 0) {
      --faults_left_;
      machine_.raise(0);
    }
  }

  void configuration_table() {
    u8 const which = byte();
    u32 const number = which % kGuids;
    Guid const g = guid(number);
    bool const there = tables_.contains(number);
    void* const table = which < 128 ? interface_of(which) : nullptr;
    Status const status = t()->install_configuration_table(t(), &g, table, 4);
    if (table == nullptr) {
      MM_FUZZ_CHECK(status == (there ? Status::Success : Status::NotFound));
      tables_.erase(number);
    } else {
      MM_FUZZ_CHECK(status == Status::Success);
      tables_[number] = table;
    }
    u64 const all = t()->number_of_table_entries;
    u64 ours = 0;
    for (u64 i = 0; i < all; ++i) {
      auto const& entry = t()->configuration_table[i];
      auto const known = tables_.find(number_of(entry.guid));
      if (entry.guid == guid(number_of(entry.guid))) {
        MM_FUZZ_CHECK(known != tables_.end() && known->second == entry.table);
        ++ours;
      }
    }
    MM_FUZZ_CHECK(ours == tables_.size());
  }

  Machine machine_;
  std::span<std::byte const> script_;
  u32 calls_ = 0;
  u32 depth_ = 0;
  u32 dispatches_ = 0;
  u32 faults_left_ = 4;
  bool serving_ = false;
  std::vector<Block> blocks_;
  std::vector<Pages> pages_;
  std::map<std::pair<Handle, u32>, void*> interfaces_;  ///< by handle and GUID number
  std::map<std::pair<u32, u32>, void*> notifies_;       ///< registrations by GUID number and function
  std::map<Handle, Handler> handlers_;
  std::map<u32, void*> tables_;
  std::vector<Installing> installing_;
  std::vector<u32> managed_;  ///< types of the nested mmi_manage() calls
  std::array<u64, 8> objects_{};
  std::array<u8, 64> payload_{};
};

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"NoLargeBlock"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  Player player{data};
  player.play();
}
