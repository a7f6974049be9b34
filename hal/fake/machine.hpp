// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "hal/roles/machine.hpp"

/// A scripted machine for host tests: sparse memory, logs instead of devices, ring 3 as a function.
namespace mm::fake {

class Machine;

/// Sparse memory of 4 KiB pages; unwritten bytes are 0.
class Memory {
 public:
  void read(u64 at, std::span<std::byte> in) {
    walk(at, in.size(), [&](std::byte* p, u64 done, u64 n) { std::copy_n(p, n, in.data() + done); });
  }
  void write(u64 at, std::span<std::byte const> out) {
    walk(at, out.size(), [&](std::byte* p, u64 done, u64 n) { std::copy_n(out.data() + done, n, p); });
  }
  void zero(u64 at, u64 bytes) {
    walk(at, bytes, [](std::byte* p, u64, u64 n) { std::fill_n(p, n, std::byte{0}); });
  }

  /// Remembers everything; restore() brings it back at the cost of the pages that were touched since.
  void snapshot() {
    saved_.clear();
    for (auto const& [number, p] : pages_) {
      saved_[number] = *p;
    }
    touched_.clear();
    recent_.fill({});
  }
  void restore() {
    for (u64 const number : touched_) {
      if (auto const was = saved_.find(number); was != saved_.end()) {
        *pages_[number] = was->second;
      } else {
        pages_.erase(number);
      }
    }
    touched_.clear();
    recent_.fill({});
  }

 private:
  using Page = std::array<std::byte, kPageSize>;
  template <typename F>
  void walk(u64 at, u64 bytes, F&& f) {
    for (u64 done = 0; done < bytes;) {
      u64 const offset = (at + done) % kPageSize;
      u64 const n = std::min(bytes - done, kPageSize - offset);
      f(page(at + done) + offset, done, n);
      done += n;
    }
  }
  std::byte* page(u64 at) {
    u64 const number = at >> kPageShift;
    Recent& recent = recent_[number % recent_.size()];
    if (recent.page == nullptr || recent.number != number) {
      auto& p = pages_[number];
      if (!p) {
        p = std::make_unique<Page>();
        p->fill(std::byte{0});
      }
      touched_.insert(number);
      recent = {number, p.get()};
    }
    return recent.page->data();
  }
  /// A page that is among `touched_`.
  struct Recent {
    u64 number = 0;
    Page* page = nullptr;
  };
  std::map<u64, std::unique_ptr<Page>> pages_;
  std::map<u64, Page> saved_;
  std::array<Recent, 64> recent_{};
  std::set<u64> touched_;  ///< pages read or written since snapshot() or restore()
};

struct PortWrite {
  u16 port = 0;
  u64 bytes = 0;
  u32 value = 0;
  friend bool operator==(PortWrite const&, PortWrite const&) = default;
};

/// One CPU. `user` is ring 3: it gets the context of each entry and resume, changes it, and says why it came back.
class Cpu {
 public:
  Cpu(Machine& machine, u32 apic, bool is_bsp) : bsp(is_bsp), machine_(machine), apic_(apic) {}

  std::function<hal::UserExit(hal::UserContext&)> user;
  std::function<void()> on_pause;
  std::map<u32, u64> msrs;  ///< an MSR that is not here faults
  std::map<u16, u32> ports;
  std::vector<PortWrite> port_writes;
  u64 cr3 = 0;
  bool bsp;  ///< IA32_APIC_BASE bit 8
  u32 cli_count = 0, hlt_count = 0, wbinvd_count = 0, barrier_count = 0, flush_count = 0, clean_count = 0;
  u32 address_bits = 47;                   ///< MAXPHYADDR
  int user_access = 0, write_windows = 0;  ///< open windows: 0 whenever ring 3 runs

  void read(PhysAddr at, std::span<std::byte> in) noexcept;
  void write(PhysAddr at, std::span<std::byte const> out) noexcept;
  void copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept;
  void zero(PhysAddr at, u64 bytes) noexcept;
  Expected<u64> read_msr(u32 msr) noexcept {
    auto const it = msrs.find(msr);
    return it == msrs.end() ? Expected<u64>(std::unexpected(Status::Unsupported)) : Expected<u64>(it->second);
  }
  Expected<void> write_msr(u32 msr, u64 value) noexcept {
    if (!msrs.contains(msr)) {
      return std::unexpected(Status::Unsupported);
    }
    msrs[msr] = value;
    return {};
  }
  u32 port_in(u16 port, abi::IoWidth) noexcept { return ports[port]; }
  void port_out(u16 port, abi::IoWidth w, u32 value) noexcept {
    port_writes.push_back({port, abi::bytes_of(w), value});
  }
  void cli() noexcept { ++cli_count; }
  void hlt() noexcept { ++hlt_count; }
  void wbinvd() noexcept { ++wbinvd_count; }
  void speculation_barrier() noexcept { ++barrier_count; }
  void pause() noexcept;
  /// One CPU runs at a time: a test that runs two hands over where they pause.
  u32 load_shared(u32 const& word) noexcept { return word; }
  void store_shared(u32& word, u32 value) noexcept { word = value; }
  void increment_shared(u32& word) noexcept { ++word; }
  u64 read_cr3() noexcept { return cr3; }
  void flush_tlb() noexcept { ++flush_count; }
  void set_write_protect(bool on) noexcept { write_windows += on ? -1 : 1; }
  void set_user_access(bool on) noexcept { user_access += on ? 1 : -1; }
  void clean_user_state() noexcept { ++clean_count; }
  hal::UserExit run_user(hal::UserContext& context) noexcept { return user(context); }
  u64 now_us() noexcept;
  bool is_bsp() noexcept { return bsp; }
  u32 apic_id() noexcept { return apic_; }
  u32 physical_address_bits() noexcept { return address_bits; }

 private:
  Machine& machine_;
  u32 apic_;
};

/// Reads of normal-world addresses by the supervisor are logged, so that a test can see a double fetch.
class Machine {
 public:
  using Cpu = fake::Cpu;
  static constexpr bool kTraced = true;
  static constexpr bool kHasDefects = true;

  /// A supervisor::Check that is removed, by its bit in `defects`.
  template <typename Check>
  bool defect(Check check) const noexcept {
    return (defects >> static_cast<u32>(check) & 1) != 0;
  }
  void trace(hal::TraceEvent const& e) noexcept { events.push_back(e); }
  Range mmram() noexcept { return protected_mmram; }
  u64 own_code() noexcept { return code; }
  void halt(hal::HaltReason why) noexcept {
    if (!halted) {
      halted = why;
    }
  }

  std::vector<hal::TraceEvent> of(hal::TraceKind kind) const {
    std::vector<hal::TraceEvent> found;
    std::copy_if(events.begin(), events.end(), std::back_inserter(found),
                 [&](auto const& e) { return e.kind == kind; });
    return found;
  }

  Memory memory;
  std::vector<hal::TraceEvent> events;
  std::vector<Range> reads;   ///< supervisor reads and copies, sources only
  std::vector<Range> writes;  ///< supervisor writes, copies and fills, targets only
  std::optional<hal::HaltReason> halted;
  Range protected_mmram;
  u64 code = 0;  ///< own_code()
  u32 defects = 0;
  u64 clock_us = 0;
  u64 pause_us = 10;  ///< virtual time of one pause
};

inline void Cpu::read(PhysAddr at, std::span<std::byte> in) noexcept {
  machine_.reads.push_back({raw(at), in.size()});
  machine_.memory.read(raw(at), in);
}
inline void Cpu::write(PhysAddr at, std::span<std::byte const> out) noexcept {
  machine_.writes.push_back({raw(at), out.size()});
  machine_.memory.write(raw(at), out);
}
inline void Cpu::zero(PhysAddr at, u64 bytes) noexcept {
  machine_.writes.push_back({raw(at), bytes});
  machine_.memory.zero(raw(at), bytes);
}
inline void Cpu::copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept {
  std::vector<std::byte> bounce(bytes);
  machine_.reads.push_back({raw(from), bytes});
  machine_.writes.push_back({raw(to), bytes});
  machine_.memory.read(raw(from), bounce);
  machine_.memory.write(raw(to), bounce);
}
inline u64 Cpu::now_us() noexcept { return machine_.clock_us; }
inline void Cpu::pause() noexcept {
  machine_.clock_us += machine_.pause_us;
  if (on_pause) {
    on_pause();
  }
}

static_assert(hal::Cpu<Cpu>);
static_assert(hal::Machine<Machine>);

}  // namespace mm::fake
