// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <array>
#include <utility>

#include "sim/engine/cpuid.hpp"
#include "sim/engine/engine_impl.hpp"
#include "sim/engine/refused.hpp"

/// What Unicorn calls while ring 3 runs. A hook records why the run ends and stops it; run() tells.
namespace mm::sim {
namespace {

using Impl = Engine::Impl;

void on_block(uc_engine* uc, uint64_t address, uint32_t bytes, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.blocks.count >= e.blocks.limit) {
    if (e.stop.reason == Impl::Reason::None) {
      e.stop.reason = Impl::Reason::Limit;
    }
    uc_emu_stop(uc);
    return;
  }
  if (address - e.code_range.base >= e.code_range.size) {
    e.stop.reason = e.stop.reason == Impl::Reason::None ? Impl::Reason::CodeCheck : e.stop.reason;
    uc_emu_stop(uc);
    return;
  }
  ++e.blocks.count;
  if (e.config.block_log != nullptr) {
    e.config.block_log->ran(address, bytes);
  }
  Range const* const covered = e.config.covered;
  if (!e.config.coverage.empty() && (covered == nullptr || address - covered->base < covered->size)) {
    u64 const here = (address >> 1) * 0x9E3779B97F4A7C15 >> 32;
    ++e.config.coverage[(here ^ e.blocks.previous) & (e.config.coverage.size() - 1)];
    e.blocks.previous = here >> 1;
  }
}

void on_syscall(uc_engine* uc, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.stop.reason == Impl::Reason::None) {
    e.stop.reason = Impl::Reason::Syscall;
  }
  uc_emu_stop(uc);
}

void on_interrupt(uc_engine* uc, uint32_t vector, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.stop.reason == Impl::Reason::None) {
    e.stop.reason = Impl::Reason::Interrupt;
    e.stop.vector = vector;
    uc_reg_read(uc, UC_X86_REG_CR2, &e.stop.cr2);
    uc_context_save(uc, e.contexts.scratch);
  }
  uc_emu_stop(uc);
}

/// What the engine does not refuse at CPL 3, port I/O above all. Remember the state before the instruction and take
/// every mapping away, so that nothing that the rest of the block does can have an effect.
void deny(uc_engine* uc, Impl& e, u32 vector = 13, Impl::Reason why = Impl::Reason::Denied) {
  if (e.stop.reason == Impl::Reason::None) {
    e.stop.reason = why;
    e.stop.vector = vector;
    uc_context_save(uc, e.contexts.denied);
    u64 const nowhere = kNoMemory;
    uc_reg_write(uc, UC_X86_REG_CR3, &nowhere);
  }
  uc_emu_stop(uc);
}
uint32_t on_in(uc_engine* uc, uint32_t, int, void* user) {
  deny(uc, *static_cast<Impl*>(user));
  return 0;
}
void on_out(uc_engine* uc, uint32_t, int, uint32_t, void* user) { deny(uc, *static_cast<Impl*>(user)); }

/// SYSENTER: #GP while IA32_SYSENTER_CS holds no selector (SDM 2B). The engine would run on behind it.
void on_sysenter(uc_engine* uc, void* user) {
  auto& e = *static_cast<Impl*>(user);
  bool const enters = (e.sysenter_cs & 0xFFFC) != 0;
  deny(uc, e, 13, enters ? Impl::Reason::Ring0 : Impl::Reason::Denied);
}

/// At an address where an instruction may start that the CPU model refuses.
void on_watched(uc_engine* uc, uint64_t address, uint32_t, void* user) {
  auto& e = *static_cast<Impl*>(user);
  std::array<u8, 15> code{};
  auto const bytes = e.instruction_at(address, code);
  if (auto const vector = refused_vector(std::span<u8 const>(code).first(bytes))) {
    deny(uc, e, *vector);
  }
}

int on_rdtsc(uc_engine* uc, void* user) {
  auto& e = *static_cast<Impl*>(user);
  u64 const ticks = e.blocks.count * 4 + (e.config.time_ns != nullptr ? *e.config.time_ns : 0);
  u64 const low = ticks & 0xFFFFFFFF;
  u64 const high = ticks >> 32;
  uc_reg_write(uc, UC_X86_REG_RAX, &low);
  uc_reg_write(uc, UC_X86_REG_RDX, &high);
  return 1;
}

int on_cpuid(uc_engine* uc, void* user) {
  auto const& e = *static_cast<Impl*>(user);
  u64 leaf = 0;
  u64 subleaf = 0;
  uc_reg_read(uc, UC_X86_REG_RAX, &leaf);
  uc_reg_read(uc, UC_X86_REG_RCX, &subleaf);
  CpuidResult const r = cpuid(static_cast<u32>(leaf), static_cast<u32>(subleaf), e.config.cpus, e.config.apic_id);
  std::pair<int, u64> const results[] = {
      {UC_X86_REG_RAX, r.eax}, {UC_X86_REG_RBX, r.ebx}, {UC_X86_REG_RCX, r.ecx}, {UC_X86_REG_RDX, r.edx}};
  for (auto const& [reg, value] : results) {
    uc_reg_write(uc, reg, &value);
  }
  return 1;
}

/// The operands are whole registers, whatever the width of the compare.
void on_compare(uc_engine*, uint64_t address, uint64_t left, uint64_t right, uint32_t bits, void* user) {
  u64 const mask = bits < 64 ? (u64{1} << bits) - 1 : UINT64_MAX;
  static_cast<Impl*>(user)->config.on_compare(address, left & mask, right & mask, bits / 8);
}

template <typename F>
void* erase(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

std::expected<void, std::string> Engine::Impl::add_hooks() {
  uc_hook hook = 0;
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_BLOCK, erase(on_block), this, 1, 0));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INTR, erase(on_interrupt), this, 1, 0));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_syscall), this, 1, 0, UC_X86_INS_SYSCALL));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_sysenter), this, 1, 0, UC_X86_INS_SYSENTER));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_in), this, 1, 0, UC_X86_INS_IN));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_out), this, 1, 0, UC_X86_INS_OUT));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_rdtsc), this, 1, 0, UC_X86_INS_RDTSC));
  MM_UC("hook", uc_hook_add(uc, &hook, UC_HOOK_INSN, erase(on_cpuid), this, 1, 0, UC_X86_INS_CPUID));
  if (config.on_compare != nullptr) {
    MM_UC("hook",
          uc_hook_add(uc, &hook, UC_HOOK_TCG_OPCODE, erase(on_compare), this, 1, 0, UC_TCG_OP_SUB, UC_TCG_OP_FLAG_CMP));
  }
  return {};
}

void Engine::Impl::watch(u64 at) noexcept {
  if (uc_hook hook = 0; uc_hook_add(uc, &hook, UC_HOOK_CODE, erase(on_watched), this, at, at) == UC_ERR_OK) {
    watched.push_back(hook);
  }
}

}  // namespace mm::sim
