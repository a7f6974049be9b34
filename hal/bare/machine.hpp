// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <atomic>

#include "core/abi/console.hpp"
#include "core/abi/platform.hpp"
#include "core/arch/control.hpp"
#include "core/arch/msr.hpp"
#include "hal/bare/border.hpp"
#include "hal/bare/chipset.hpp"
#include "hal/bare/clock.hpp"
#include "hal/bare/descriptors.hpp"
#include "hal/bare/gate_block.hpp"
#include "hal/bare/instructions.hpp"

/// The machine as it is: instructions of an x86-64 CPU inside MM, and the q35 ports that the roles need.
namespace mm::bare {

/// A spin lock for short sections of ring 0.
class SpinLock {
 public:
  void lock() noexcept {
    while (taken_.exchange(true, std::memory_order_acquire)) {
      pause();
    }
  }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

/// Holds a SpinLock for a scope.
class Locked {
 public:
  explicit Locked(SpinLock& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~Locked() { lock_.unlock(); }
  Locked(Locked const&) = delete;
  Locked& operator=(Locked const&) = delete;

 private:
  SpinLock& lock_;
};

/// Set once a CPU has stopped the machine; every other CPU stops at its next pause or MMI.
class StopFlag {
 public:
  void raise() noexcept { raised_.store(true, std::memory_order_release); }
  bool is_raised() const noexcept { return raised_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> raised_{false};
};

inline void stop_cpu() noexcept {
  for (;;) {
    cli();
    hlt();
  }
}

/// hal::Cpu on the CPU that executes it.
class Cpu {
 public:
  constexpr Cpu(StopFlag& stop, Clock& clock) noexcept : stop_(stop), clock_(clock) {}
  Cpu(Cpu const&) = delete;
  Cpu& operator=(Cpu const&) = delete;

  void read(PhysAddr at, std::span<std::byte> in) noexcept {
    move(reinterpret_cast<u64>(in.data()), raw(at), in.size());
  }
  void write(PhysAddr at, std::span<std::byte const> out) noexcept {
    move(raw(at), reinterpret_cast<u64>(out.data()), out.size());
  }
  void copy(PhysAddr destination, PhysAddr source, u64 bytes) noexcept {
    copy_bytes(raw(destination), raw(source), bytes);
  }
  void zero(PhysAddr at, u64 bytes) noexcept { zero_bytes(raw(at), bytes); }

  Expected<u64> read_msr(u32 msr) noexcept {
    u64 value = 0;
    if (mm_bare_rdmsr(msr, &value) == 0) {
      return std::unexpected(Status::Unsupported);
    }
    return value;
  }
  Expected<void> write_msr(u32 msr, u64 value) noexcept {
    if (mm_bare_wrmsr(msr, value) == 0) {
      return std::unexpected(Status::Unsupported);
    }
    return {};
  }

  u32 port_in(u16 port, abi::IoWidth width) noexcept {
    switch (width) {
      case abi::IoWidth::Byte:
        return in8(port);
      case abi::IoWidth::Word:
        return in16(port);
      case abi::IoWidth::Dword:
        break;
    }
    return in32(port);
  }
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
    switch (width) {
      case abi::IoWidth::Byte:
        out8(port, static_cast<u8>(value));
        break;
      case abi::IoWidth::Word:
        out16(port, static_cast<u16>(value));
        break;
      case abi::IoWidth::Dword:
        out32(port, value);
        break;
    }
  }

  void cli() noexcept { bare::cli(); }
  void hlt() noexcept { bare::hlt(); }
  void wbinvd() noexcept { bare::wbinvd(); }
  void speculation_barrier() noexcept { lfence(); }
  void pause() noexcept {
    stop_if_raised();
    bare::pause();
  }
  u32 load_shared(u32 const& word) noexcept { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); }
  void store_shared(u32& word, u32 value) noexcept { __atomic_store_n(&word, value, __ATOMIC_RELEASE); }
  void increment_shared(u32& word) noexcept { __atomic_fetch_add(&word, 1u, __ATOMIC_ACQ_REL); }
  u64 read_cr3() noexcept { return bare::read_cr3(); }
  void flush_tlb() noexcept { write_cr3(bare::read_cr3()); }
  void set_write_protect(bool on) noexcept {
    u64 const cr0 = read_cr0();
    write_cr0(on ? cr0 | arch::kCr0WriteProtect : cr0 & ~arch::kCr0WriteProtect);
  }
  void set_user_access(bool open) noexcept {
    if (smap_) {
      open ? stac() : clac();
    }
  }

  void clean_user_state() noexcept;
  hal::UserExit run_user(hal::UserContext& user) noexcept;

  u64 now_us() noexcept { return clock_.microseconds(read_tsc() - entered_); }
  bool is_bsp() noexcept { return (read_known_msr(arch::kMsrApicBase) & arch::kApicBaseBsp) != 0; }
  u32 apic_id() noexcept { return initial_apic_id(); }
  u32 physical_address_bits() noexcept { return bare::physical_address_bits(); }

  /// Start of an MMI: keeps what the normal world has in the registers that RSM does not restore, and sets ours. On
  /// the first call also fills the IDT (shared, the same bytes from every CPU) and this CPU's call gate and TSS.RSP0.
  void begin_mmi() noexcept;
  /// End of an MMI: gives the normal world its registers back. Does not return when the machine was stopped meanwhile.
  void end_mmi() noexcept;
  /// Whether `gs_base` is the gate block of this CPU.
  bool owns(u64 gs_base) const noexcept { return gs_base == reinterpret_cast<u64>(&gate_); }

 private:
  /// Page-table entries and other single words are one access; the rest goes by REP MOVSQ.
  static void move(u64 destination, u64 source, u64 bytes) noexcept {
    if (bytes == 8) {
      *reinterpret_cast<u64 volatile*>(destination) = *reinterpret_cast<u64 const volatile*>(source);
    } else {
      copy_bytes(destination, source, bytes);
    }
  }
  void fill_tables() noexcept;
  void stop_if_raised() const noexcept {
    if (stop_.is_raised()) {
      stop_cpu();
    }
  }

  StopFlag& stop_;
  Clock& clock_;
  GateBlock gate_;
  Border border_;
  u64 entered_ = 0;  ///< TSC at the start of this MMI
  bool tables_ready_ = false;
  bool smap_ = false;
};
static_assert(hal::Cpu<Cpu>);

/// hal::Machine on q35. `Traced`: events go to the debug console, and halt() ends the emulator.
template <bool Traced>
class Machine {
 public:
  using Cpu = bare::Cpu;
  static constexpr bool kTraced = Traced;

  constexpr explicit Machine(StopFlag& stop) noexcept : stop_(stop) {}
  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;

  void trace(hal::TraceEvent const& event) noexcept {
    if constexpr (Traced) {
      constexpr abi::FrameHeader kHeader{abi::kFrameMagic, static_cast<u8>(abi::FrameKind::Trace), sizeof(event)};
      std::array<std::byte, sizeof(kHeader) + sizeof(event)> bytes;
      __builtin_memcpy(bytes.data(), &kHeader, sizeof(kHeader));
      __builtin_memcpy(bytes.data() + sizeof(kHeader), &event, sizeof(event));
      Locked const hold(console_);
      out_bytes(platform::kPortDebugConsole, bytes);
    }
  }

  Range mmram() noexcept { return locked_tseg(); }
  u64 own_code() noexcept { return reinterpret_cast<u64>(&mm_bare_syscall_entry); }

  void halt(hal::HaltReason) noexcept {
    stop_.raise();
    if constexpr (Traced) {
      out32(platform::kPortExit, kExitHalted);
    }
    stop_cpu();
  }

 private:
  static constexpr u32 kExitHalted = 1;  ///< the emulator's exit code becomes 3

  StopFlag& stop_;
  SpinLock console_;
};
static_assert(hal::Machine<Machine<true>> && hal::Machine<Machine<false>>);

}  // namespace mm::bare
