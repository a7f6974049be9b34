// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <unicorn/unicorn.h>

#include <array>
#include <cstdlib>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "core/memory/page_tables.hpp"
#include "sim/engine/engine.hpp"

/// The inside of an Engine, for the files that implement it: engine.cpp (running and its ends), engine_open.cpp (making
/// one), engine_hooks.cpp (what Unicorn calls), guest_code.cpp (looking at the code of ring 3). One thread at a time.
namespace mm::sim {

/// In the engine's copy of the GDT the gate leads to this slot, and code of ring 0 that is not present is in it. Ring 3
/// cannot tell: any use of either selector of ring 0 is #GP with the same error code.
inline constexpr u64 kAbsentCode = 0x10;
inline constexpr u64 kAddressSpace = 1ull << 36;             ///< of the engine
inline constexpr u64 kNoMemory = kAddressSpace - kPageSize;  ///< a level-4 table here has reserved bits in every entry

inline constexpr std::array kRegisters = {
    UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX,    UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI,
    UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,     UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12, UC_X86_REG_R13,
    UC_X86_REG_R14, UC_X86_REG_R15, UC_X86_REG_RFLAGS, UC_X86_REG_RIP, UC_X86_REG_CS};

struct Engine::Impl {
  EngineConfig config;
  uc_engine* uc = nullptr;
  struct Contexts {
    uc_context* scratch = nullptr;  ///< at a fault
    uc_context* denied = nullptr;   ///< at the first denied instruction of a run
    uc_context* saved = nullptr;    ///< save_state()
  };
  Contexts contexts;
  std::byte* private_memory = nullptr;
  /// Pages of which the engine sees a copy; [0] is the GDT page.
  struct Overlay {
    u64 page = 0;  ///< physical address
    std::byte* copy = nullptr;
  };
  std::vector<Overlay> overlays;
  std::array<u64, kRegisters.size()> values{};
  std::array<void*, kRegisters.size()> pointers{};
  u64 cr3 = 0;
  /// Blocks of ring 3: how many there were, and where the next stop is.
  struct Blocks {
    u64 count = 0;
    u64 limit = 0;           ///< of the current run
    u64 budget_end = 0;      ///< of the entry
    u64 previous = 0;        ///< for the coverage of edges
    bool in_slices = false;  ///< the next run() continues this one
  };
  Blocks blocks;
  Range code_range{0, ~u64{0}};
  u64 sysenter_cs = 0;
  bool placed = false;           ///< the guest's GDT is in use, the private pages are gone
  std::vector<uc_hook> watched;  ///< hooks on addresses where a refused instruction may start
  bool ran = true;               ///< since save_state() or restore_state()
  bool tlb_in_use = true;        ///< since the last flush

  enum class Reason { None, Syscall, Interrupt, Denied, Limit, CodeCheck, Ring0 };
  /// What the hooks of the current run recorded; the first one stays.
  struct Stop {
    Reason reason = Reason::None;
    u32 vector = 0;
    u64 cr2 = 0;
  };
  Stop stop;

  ~Impl() {
    if (uc != nullptr) {
      for (uc_context* context : {contexts.scratch, contexts.denied, contexts.saved}) {
        if (context != nullptr) {
          uc_context_free(context);
        }
      }
      uc_close(uc);
    }
    std::free(private_memory);
    for (Overlay const& one : overlays) {
      std::free(one.copy);
    }
  }

  std::expected<void, std::string> open();
  std::expected<void, std::string> enter_first_time();
  std::expected<void, std::string> overlay(u64 page, std::byte*& copy);
  std::expected<void, std::string> add_hooks();
  EngineExit run(hal::UserContext& user) noexcept;
  EngineExit fault_exit(hal::UserContext& user) noexcept;
  EngineExit invalid_opcode(hal::UserContext& user) noexcept;
  void load(hal::UserContext const& user) noexcept;
  void load_segments() noexcept;
  void store(hal::UserContext& user) noexcept;
  void forget_exception(uc_context* context) noexcept;
  bool read_code(u64 at, std::span<u8> out) const noexcept;
  std::array<u8, 2> opcode_at(u64 at) const noexcept;
  std::size_t instruction_at(u64 at, std::span<u8> out) const noexcept;
  bool goes_through_gate(hal::UserContext const& user) const noexcept;
  u64 table_entry(u64 at) const noexcept;
  u64 leaf(u64 address) const noexcept;
  void hide_untranslatable() noexcept;
  std::expected<void, std::string> leave_private_pages();
  void watch_refused() noexcept;
  void watch(u64 at) noexcept;
  template <typename F>
  void for_each_code_page(F&& f) const;
};

/// What a failed call of Unicorn is told as.
inline std::string engine_problem(char const* what, uc_err error) {
  return std::string("simulator engine: ") + what + ": " + uc_strerror(error);
}

#define MM_UC(what, call)                                            \
  if (uc_err const mm_uc_error = (call); mm_uc_error != UC_ERR_OK) { \
    return std::unexpected(engine_problem(what, mm_uc_error));       \
  }

}  // namespace mm::sim
