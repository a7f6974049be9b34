// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "core/base/types.hpp"
#include "hal/roles/machine.hpp"
#include "sim/engine/block_log.hpp"

namespace mm::sim {

/// Why ring 3 stopped, as the engine sees it: UserExitKind and two more reasons that only the simulator knows.
enum class EngineStop : u64 {
  Syscall,
  Return,
  Fault,
  Budget,
  Slice,  ///< `slice_blocks` blocks have run; run() again with the same context continues
  Rsm,    ///< RSM at CPL 3: leaves MM (hal/qemu_rom/Q35.md 5, trap 2)
  Ring0,  ///< ring 3 runs at CPL 0: nothing that comes after it can be trusted
};

struct EngineExit {
  EngineStop stop{};
  u64 vector = 0;
  u64 error_code = 0;
  u64 cr2 = 0;
};

/// Told of a compare of ring 3: the address of its instruction, both operands, and their bytes.
using CompareSink = void (*)(u64 at, u64 left, u64 right, u32 bytes) noexcept;

/// Who answers where there is no memory: 1, 2, 4 or 8 bytes at a physical address above RAM. `self` is handed back.
struct BusDevices {
  void* self = nullptr;
  u64 (*read)(void* self, u64 address, u32 bytes) = nullptr;
  void (*write)(void* self, u64 address, u32 bytes, u64 value) = nullptr;
};

struct EngineConfig {
  std::span<std::byte> ram{};     ///< physical memory from address 0, page aligned; must outlive the engine
  u64 budget_blocks = 5'000'000;  ///< per entry, and a few for each of its system calls
  u64 slice_blocks = 0;           ///< 0: no slices
  u64 const* time_ns =
      nullptr;               ///< virtual time that RDTSC derives from (1 tick per ns plus blocks); null: blocks only
  std::span<u8> coverage{};  ///< edge counters, power-of-two size, or empty
  Range const* covered = nullptr;    ///< only blocks in it are counted, and it may change; null: all
  CompareSink on_compare = nullptr;  ///< for a fuzzer; null: nobody listens, and nothing is slower
  BlockLog* block_log = nullptr;     ///< counts the blocks that run; null: nobody does
  BusDevices bus{};                  ///< null functions: zeros, and writes go nowhere, as on QEMU
  u32 cpus = 1;                      ///< of the machine, and which one this is: for CPUID
  u32 apic_id = 0;
};

/// One CPU in ring 3: a Unicorn engine over the machine's RAM and real guest page tables. The event loop is outside the
/// engine: run() enters ring 3 and says why it came back. Exits that Unicorn does not deliver as a CPU would are mended
/// here or listed in fidelity.hpp.
class Engine {
 public:
  struct Impl;

  /// The error is a sentence: library missing a feature, or the start-up calibration did not hold.
  static std::expected<std::unique_ptr<Engine>, std::string> create(EngineConfig const& config);
  ~Engine();
  Engine(Engine const&) = delete;
  Engine& operator=(Engine const&) = delete;

  /// Before the first run: points the CPU at its GDT page (GDT limit 0x7F, TSS behind it). The engine sees a private
  /// copy of this page in which the call gate leads to code that is not present, so that a far call through it is an
  /// exit.
  std::expected<void, std::string> set_gdt(PhysAddr page);
  /// Page tables to use; also flushes the TLB, and what save_state() remembered is under them now.
  void set_cr3(u64 cr3) noexcept;
  /// Starts a new entry of ring 3 (a demotion, not the way back from a system call): the block budget is full again.
  void begin_entry() noexcept;
  /// Runs ring 3 from `user` and brings `user` up to date.
  EngineExit run(hal::UserContext& user) noexcept;
  /// After every edit of the page tables by the host, dirty bits included: translations last until then, whatever runs.
  void flush_tlb() noexcept;
  /// After the host changed code that ring 3 may have run. Also scans executable user pages for encodings that the
  /// engine cannot translate and hides them.
  void flush_code() noexcept;
  /// The x87 as FNINIT leaves it, MXCSR 1F80H, ST0-7 and XMM0-15 zero.
  void clean_vector_state() noexcept;
  /// Remembers and brings back what is not in UserContext (x87, SSE).
  void save_state() noexcept;
  void restore_state() noexcept;
  /// IA32_SYSENTER_CS as it is inside MM: with a selector in it SYSENTER is Ring0, else #GP.
  void set_sysenter_cs(u64 value) noexcept;
  /// Code elsewhere is a machine check before its first instruction; an empty range: no limit.
  void set_code_range(Range range) noexcept;
  /// Blocks of ring 3 since creation.
  u64 blocks() const noexcept;

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Tries on a scratch machine what the simulator relies on: exact exits, error codes, page protections. The error names
/// the first thing that does not hold.
std::expected<void, std::string> engine_self_test();

/// Version of the engine library, "2.1.4".
std::string engine_version();

}  // namespace mm::sim
