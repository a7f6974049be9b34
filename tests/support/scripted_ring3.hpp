// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "core/user/mmst_thunks.hpp"

/// A ring-3 role that answers system calls from a script, and what the tests build with it.
namespace mm::user::test {

/// One call as the role saw it.
struct Call {
  abi::Syscall index{};
  u64 a = 0, b = 0, c = 0;
};
struct Note {
  abi::UserNote kind{};
  u64 a = 0, b = 0;
  friend bool operator==(Note const&, Note const&) = default;
};

class ScriptedRing3 {
 public:
  ScriptedRing3() = default;
  ScriptedRing3(ScriptedRing3 const&) = delete;
  ScriptedRing3& operator=(ScriptedRing3 const&) = delete;
  ~ScriptedRing3() {
    for (auto const& [base, pages] : pages_) {
      std::free(at<void>(base));
    }
  }

  u64 syscall(u64 index, u64 a, u64 b, u64 c) noexcept {
    auto const number = static_cast<abi::Syscall>(index);
    if (number == abi::Syscall::TraceNote) {
      notes.push_back({static_cast<abi::UserNote>(a), b, c});
      return answers.contains(number) ? answers.at(number) : 0;
    }
    calls.push_back({number, a, b, c});
    if (auto const answer = answers.find(number); answer != answers.end()) {
      return answer->second;
    }
    switch (number) {
      case abi::Syscall::AllocPage:
        return allocate(c);
      case abi::Syscall::FreePage:
        release(a, b);
        return 0;
      case abi::Syscall::MmIsCommBuffer:
        return 1;
      case abi::Syscall::StartApProc:
        if (on_start_ap) {
          on_start_ap(a, c);
        }
        return 0;
      default:
        return 0;
    }
  }

  u64 call_driver(u64 entry, u64 image, u64 mmst) noexcept {
    auto const driver = entries.find(entry);
    return driver == entries.end() ? 0 : static_cast<u64>(driver->second(image, at<MmSystemTable>(mmst)));
  }

  u64 live_pages() const {
    u64 sum = 0;
    for (auto const& [base, pages] : pages_) {
      sum += pages;
    }
    return sum - freed_;
  }
  u64 count(abi::Syscall number) const {
    u64 n = 0;
    for (Call const& one : calls) {
      n += one.index == number ? 1u : 0u;
    }
    return n;
  }

  std::vector<Call> calls;
  std::vector<Note> notes;
  std::map<abi::Syscall, u64> answers;                                   ///< fixed results
  std::map<u64, std::function<Status(Handle, MmSystemTable*)>> entries;  ///< entry points of drivers
  std::function<void(u64 procedure, u64 argument)> on_start_ap;          ///< plays the AP
  u64 page_limit = UINT64_MAX;

 private:
  u64 allocate(u64 pages) {
    if (live_pages() + pages > page_limit) {
      return static_cast<u64>(Status::OutOfResources);
    }
    void* const memory = std::aligned_alloc(kPageSize, pages * kPageSize);
    std::memset(memory, 0, pages * kPageSize);
    pages_[address_of(memory)] = pages;
    return address_of(memory);
  }
  void release(u64 base, u64 pages) {
    if (auto const whole = pages_.find(base); whole != pages_.end() && whole->second == pages) {
      std::free(at<void>(base));
      pages_.erase(whole);
    } else {
      freed_ += pages;
    }
  }

  std::map<u64, u64> pages_;
  u64 freed_ = 0;
};

/// Bytes of a HOB list, 8-byte aligned.
class HobList {
 public:
  HobList() { add(abi::HobHandoff{}); }

  template <typename T>
  void add(T const& hob) {
    auto const* bytes = reinterpret_cast<std::byte const*>(&hob);
    append({bytes, sizeof(T)});
  }
  void add_guid(Guid const& name, std::span<std::byte const> payload) {
    abi::HobGuid hob;
    u64 const padded = align_up(payload.size(), 8);
    hob.header.length = static_cast<u16>(sizeof(hob) + padded);
    hob.name = name;
    add(hob);
    append(payload);
    bytes_.resize(bytes_.size() + padded - payload.size());
  }
  template <typename T>
  void add_guid_object(Guid const& name, T const& payload) {
    add_guid(name, std::as_bytes(std::span<T const, 1>{&payload, 1}));
  }
  /// Module HOB of a driver at [base, base + 0x1000), entry = base + 0x10.
  void add_driver(Guid const& file, u64 base) {
    abi::HobMemoryAllocationModule hob;
    hob.name = guids::gMmSupervisorHobMemoryAllocModuleGuid;
    hob.base = base;
    hob.length = kPageSize;
    hob.module_name = file;
    hob.entry_point = base + 0x10;
    add(hob);
  }
  void add_depex(Guid const& file, std::vector<u8> const& expression, std::optional<u64> length = {}) {
    abi::DepexHobData const data{file, length.value_or(expression.size())};
    std::vector<std::byte> payload(sizeof(data) + expression.size());
    std::memcpy(payload.data(), &data, sizeof(data));
    if (!expression.empty()) {
      std::memcpy(payload.data() + sizeof(data), expression.data(), expression.size());
    }
    add_guid(guids::gMmSupervisorDepexHobGuid, payload);
  }
  u64 finish() {
    add(abi::HobHeader{static_cast<u16>(abi::HobType::EndOfHobList), sizeof(abi::HobHeader), 0});
    return address_of(bytes_.data());
  }

 private:
  void append(std::span<std::byte const> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  std::vector<std::byte> bytes_;
};

/// A depex in bytes: opcodes and GUIDs in order.
class Depex {
 public:
  Depex& op(DepexOp o) {
    bytes.push_back(static_cast<u8>(o));
    return *this;
  }
  Depex& op(DepexOp o, Guid const& guid) {
    op(o);
    u8 raw_guid[sizeof(Guid)];
    std::memcpy(raw_guid, &guid, sizeof(Guid));
    bytes.insert(bytes.end(), std::begin(raw_guid), std::end(raw_guid));
    return *this;
  }
  std::span<std::byte const> span() const { return std::as_bytes(std::span{bytes}); }
  std::vector<u8> bytes;
};

constexpr Guid guid_of(u8 n) {
  Guid guid = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EFF00"_guid;
  guid.data4[7] = n;
  return guid;
}

/// The core with its site, made anew for each test.
struct Bench {
  Bench() { current = this; }
  ~Bench() { current = nullptr; }
  Bench(Bench const&) = delete;
  Bench& operator=(Bench const&) = delete;

  struct Site {
    static UserCore<ScriptedRing3>* core() noexcept { return &current->core; }
    static UserCore<ScriptedRing3>& start() noexcept { return current->core; }
    static CoreProtocols* protocols() noexcept { return &current->protocols; }
  };
  using Thunks = MmstThunks<Site>;

  Status start(HobList& hobs) { return Thunks::command(0, hobs.finish(), 0); }
  MmSystemTable* mmst() { return core.mmst(); }

  static inline Bench* current = nullptr;
  ScriptedRing3 ring3;
  CoreProtocols protocols = Thunks::core_protocols();
  UserCore<ScriptedRing3> core{ring3};
};

/// A started core with a communicate buffer of one page and the supervisor-to-user page.
///
/// Not for the stack of a function that calls the system table itself: its pages make the frame over-aligned, and there
/// GCC 12 restores a spilled register from a wrong offset after a call of the Microsoft convention (a slot that was
/// written at RSP + 0x78 is read at RSP + 0x58, less by the shadow space that was given back in between).
struct Machine : Bench {
  Machine() {
    hobs.add_guid_object(guids::gMmCommBufferHobGuid, abi::MmCommBuffer{address_of(buffer), 1, 0});
    hobs.add_guid_object(guids::gMpInformationHobGuid, abi::MpInformationHeader{4, 4});
  }
  Status boot() { return start(hobs); }

  /// Puts a v1 message into the buffer.
  void message(Guid const& type, std::vector<u8> const& data) {
    store(address_of(buffer), abi::CommunicateHeader{type, data.size()});
    if (!data.empty()) {
      std::memcpy(buffer + 24, data.data(), data.size());
    }
  }
  /// Serves the message that is in the buffer; `fault_rip` answers a fault (raise) as the supervisor would.
  abi::CommBufferStatus serve(bool valid = true) {
    abi::MmEntryContext context;
    context.currently_executing_cpu = 0;
    context.number_of_cpus = 4;
    store(address_of(page), context);
    abi::CommBufferStatus status;
    status.is_comm_buffer_valid = valid ? 1 : 0;
    store(address_of(page) + abi::kUserStatusOffset, status);
    run(1, address_of(page), sizeof(abi::MmEntryContext));
    return load<abi::CommBufferStatus>(address_of(page) + abi::kUserStatusOffset);
  }
  abi::CommBufferStatus send(Guid const& type, std::vector<u8> const& data) {
    message(type, data);
    return serve();
  }
  /// What a faulting driver does: never comes back.
  [[noreturn]] void raise(u64 rip) {
    fault_rip = rip;
    std::longjmp(resume, 1);
  }
  /// What a driver does that goes through the call gate itself: the supervisor takes it for the end of the command.
  [[noreturn]] void leave() { std::longjmp(resume, kLeft); }
  void run(u64 command, u64 a, u64 b) {
    abi::UserFaultRecord record;
    record.command = command;
    switch (setjmp(resume)) {
      case 0:
        result = Thunks::command(command, a, b);
        return;
      case kLeft:
        return;
      default:
        break;
    }
    ++faults;
    record.rip = fault_rip;
    store(address_of(page) + abi::kUserFaultOffset, record);
    run(3, address_of(page), 0);
  }

  HobList hobs;
  alignas(kPageSize) u8 buffer[kPageSize]{};
  alignas(kPageSize) u8 page[kPageSize]{};
  static constexpr int kLeft = 2;
  std::jmp_buf resume{};
  u64 fault_rip = 0;
  u32 faults = 0;
  Status result{};
};

}  // namespace mm::user::test
