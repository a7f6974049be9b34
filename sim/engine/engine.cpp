// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/engine.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/arch/control.hpp"
#include "core/arch/descriptors.hpp"
#include "sim/engine/calibration.hpp"
#include "sim/engine/engine_impl.hpp"

namespace mm::sim {
namespace {

constexpr u64 kUserFlags = 0x240CD5;  ///< what ring 3 may hold in RFLAGS; IF stays clear, as on the bare machine
/// A system call adds so many to the budget: a loop that makes them is ended by their number, as on the bare machine.
constexpr u64 kBlocksPerSyscall = 64;
constexpr u64 kAbsentCodeDescriptor = 0x00AF'1B00'0000'FFFF;
constexpr int kWritten = 17;  ///< RIP is given to uc_emu_start, CS never changes

/// The flags that ring 3 is entered with.
u64 entry_flags(hal::UserContext const& user) { return (user.rflags & (kUserFlags | arch::kFlagTrap)) | 2; }

}  // namespace

void Engine::Impl::load(hal::UserContext const& user) noexcept {
  values = {user.rax, user.rcx, user.rdx, user.rbx, user.rsp, user.rbp, user.rsi,          user.rdi, user.r8, user.r9,
            user.r10, user.r11, user.r12, user.r13, user.r14, user.r15, entry_flags(user), 0,        0};
  uc_reg_write_batch(uc, const_cast<int*>(reinterpret_cast<int const*>(kRegisters.data())), pointers.data(), kWritten);
}

void Engine::Impl::store(hal::UserContext& user) noexcept {
  values[17] = 0;
  values[18] = 0;
  uc_reg_read_batch(uc, const_cast<int*>(reinterpret_cast<int const*>(kRegisters.data())), pointers.data(),
                    static_cast<int>(kRegisters.size()));
  user = {.rax = values[0],
          .rcx = values[1],
          .rdx = values[2],
          .rbx = values[3],
          .rsp = values[4],
          .rbp = values[5],
          .rsi = values[6],
          .rdi = values[7],
          .r8 = values[8],
          .r9 = values[9],
          .r10 = values[10],
          .r11 = values[11],
          .r12 = values[12],
          .r13 = values[13],
          .r14 = values[14],
          .r15 = values[15],
          .rip = values[17],
          .rflags = values[16]};
}

void Engine::Impl::load_segments() noexcept {
  static constexpr std::array kSegments = {UC_X86_REG_DS, UC_X86_REG_ES, UC_X86_REG_FS, UC_X86_REG_GS};
  u64 const selector = arch::kUserDataSelector;
  for (int const segment : kSegments) {
    uc_reg_write(uc, segment, &selector);
  }
}

/// The engine never delivers, so it would count the next fault as a double one: mark the contexts.saved state as
/// fault-free. `context` was taken under the tables that are in use, so CR3 is not written: that would throw the TLB
/// away at each return of ring 3, and half of an MMI went into filling it again. Its entries stay true, because whoever
/// edits the tables calls flush_tlb(). Where another CR3 was in use (denied, out of ring 3) it is written.
void Engine::Impl::forget_exception(uc_context* context) noexcept {
  int const none = -1;
  std::memcpy(reinterpret_cast<std::byte*>(context) + calibration().old_exception, &none, sizeof(none));
  uc_context_restore(uc, context);
}

EngineExit Engine::Impl::invalid_opcode(hal::UserContext& user) noexcept {
  // No exception state is left behind in the engine, but be sure.
  uc_context_save(uc, contexts.scratch);
  forget_exception(contexts.scratch);
  std::array<u8, 2> code{};
  if (read_code(user.rip, code) && code[0] == 0x0F && code[1] == 0xAA) {
    return {.stop = EngineStop::Rsm};
  }
  return {.stop = EngineStop::Fault, .vector = 6};
}

EngineExit Engine::Impl::fault_exit(hal::UserContext& user) noexcept {
  auto const* blob = reinterpret_cast<std::byte const*>(contexts.scratch);
  int error = 0;
  int software = 0;
  std::memcpy(&error, blob + calibration().error_code, sizeof(error));
  std::memcpy(&software, blob + calibration().is_int, sizeof(software));
  forget_exception(contexts.scratch);
  store(user);
  auto const code = static_cast<u64>(static_cast<u32>(error));
  if (software != 0) {
    // INT n and INT3 through gates that ring 3 may not use: #GP at the instruction.
    std::array<u8, 1> last{};
    bool const one_byte = stop.vector == 3 && read_code(user.rip - 1, last) && last[0] == 0xCC;
    user.rip -= one_byte ? 1 : 2;
    return {.stop = EngineStop::Fault, .vector = 13, .error_code = u64{stop.vector} * 8 + 2};
  }
  auto const opcode = opcode_at(user.rip);
  if (stop.vector == 11 && (code & ~u64{7}) == kAbsentCode) {
    return {.stop = EngineStop::Return};  // a far CALL through the gate; nothing else finds out that it is absent
  }
  if (stop.vector == 13 && (code & ~u64{7}) == kAbsentCode && goes_through_gate(user)) {
    return {.stop = EngineStop::Fault,
            .vector = 13,
            .error_code = arch::kSupervisorCodeSelector};  // JMP would have to stay at CPL 3
  }
  constexpr u64 kFetch = 0x10;  // what lies there is no instruction
  if (stop.vector == 14 && (code & kFetch) == 0 && opcode[0] >= 0x6C && opcode[0] <= 0x6F) {
    return {.stop = EngineStop::Fault, .vector = 13};  // INS, OUTS: the port comes before the memory
  }
  bool const has_code = stop.vector == 8 || (stop.vector >= 10 && stop.vector <= 14) || stop.vector == 17;
  return {.stop = EngineStop::Fault,
          .vector = stop.vector,
          .error_code = has_code ? code : 0,
          .cr2 = stop.vector == 14 ? stop.cr2 : 0};
}

namespace {

/// The bare machine goes by SYSRET when RCX and R11 say so, else by IRETQ, with fresh data segments.
bool enters_by_iret(hal::UserContext const& user) { return user.rcx != user.rip || user.r11 != entry_flags(user); }
/// SYSRET that sets TF traps before the next instruction, IRETQ behind it.
bool traps_on_return(hal::UserContext const& user) {
  return (entry_flags(user) & arch::kFlagTrap) != 0 && !enters_by_iret(user);
}

}  // namespace

EngineExit Engine::Impl::run(hal::UserContext& user) noexcept {
  if (blocks.count >= blocks.budget_end) {
    return {.stop = EngineStop::Budget};
  }
  u64 const slice_end = config.slice_blocks == 0
                            ? blocks.budget_end
                            : std::min(blocks.budget_end, blocks.count + std::max<u64>(2, config.slice_blocks));
  blocks.limit = slice_end;
  if (traps_on_return(user)) {
    return {.stop = EngineStop::Fault, .vector = 1};
  }
  stop.reason = Reason::None;
  ran = true;
  tlb_in_use = true;
  load(user);
  if (!std::exchange(blocks.in_slices, false) && enters_by_iret(user)) {
    load_segments();
  }
  uc_err const error = uc_emu_start(uc, user.rip, 0, 0, 0);
  if (stop.reason == Reason::Denied || stop.reason == Reason::Ring0) {
    uc_context_restore(uc, contexts.denied);
    uc_reg_write(uc, UC_X86_REG_CR3, &cr3);
    store(user);
    return {.stop = stop.reason == Reason::Ring0 ? EngineStop::Ring0 : EngineStop::Fault, .vector = stop.vector};
  }
  if (stop.reason == Reason::Interrupt) {
    return fault_exit(user);
  }
  store(user);
  if ((values[18] & 0xFFFF) != arch::kUserCodeSelector || (user.rflags & arch::kFlagVirtual8086) != 0) {
    uc_context_restore(uc, contexts.saved);
    uc_reg_write(uc, UC_X86_REG_CR3, &cr3);
    return {.stop = (values[18] & 3) == 0 ? EngineStop::Ring0 : EngineStop::Fault, .vector = 13};
  }
  switch (stop.reason) {
    case Reason::Syscall:
      blocks.budget_end += kBlocksPerSyscall;
      user.rcx = user.rip;
      user.r11 = user.rflags;
      return {.stop = EngineStop::Syscall};
    case Reason::Limit:
      blocks.in_slices = blocks.count < blocks.budget_end;
      return {.stop = blocks.in_slices ? EngineStop::Slice : EngineStop::Budget};
    case Reason::None:
    case Reason::Interrupt:
    case Reason::Denied:
    case Reason::CodeCheck:
    case Reason::Ring0:
      break;
  }
  if (error == UC_ERR_INSN_INVALID) {
    return invalid_opcode(user);
  }
  // An access to a physical address without memory behind it, or a stop without stop.reason: a machine check.
  return {.stop = EngineStop::Fault, .vector = 18};
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::expected<std::unique_ptr<Engine>, std::string> Engine::create(EngineConfig const& config) {
  MM_TRY(calibrate());
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  impl->blocks.budget_end = config.budget_blocks;  // of an entry that nothing announced
  MM_TRY(impl->open());
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

std::expected<void, std::string> Engine::set_gdt(PhysAddr page) {
  Impl& e = *impl_;
  if (raw(page) % kPageSize != 0 || raw(page) + kPageSize > e.config.ram.size()) {
    return std::unexpected("simulator engine: the GDT page is not in RAM");
  }
  std::byte* copy = nullptr;
  MM_TRY(e.overlay(raw(page), copy));
  u64 const absent_code = kAbsentCodeDescriptor;
  u16 const target = static_cast<u16>(kAbsentCode);
  std::memcpy(copy + kAbsentCode, &absent_code, sizeof absent_code);
  std::memcpy(copy + arch::kGateSelector + 2, &target, sizeof target);
  uc_x86_mmr const gdtr{0, raw(page), 0x7F, 0};
  uc_x86_mmr const tr{arch::kTssSelector, raw(page) + arch::kTssOffset, 0x67, 0x8B00};
  MM_UC("GDTR", uc_reg_write(e.uc, UC_X86_REG_GDTR, &gdtr));
  MM_UC("TR", uc_reg_write(e.uc, UC_X86_REG_TR, &tr));
  if (!e.placed) {
    MM_TRY(e.leave_private_pages());
  }
  // Changing the memory map walks the page tables and may leave an exception behind.
  MM_UC("save", uc_context_save(e.uc, e.contexts.saved));
  e.forget_exception(e.contexts.saved);
  e.tlb_in_use = true;
  flush_tlb();
  return {};
}

void Engine::set_cr3(u64 cr3) noexcept {
  impl_->cr3 = cr3;
  impl_->tlb_in_use = true;
  uc_reg_write(impl_->uc, UC_X86_REG_CR3, &cr3);
  uc_context_save(impl_->uc, impl_->contexts.saved);
}

void Engine::begin_entry() noexcept {
  impl_->blocks.budget_end = impl_->blocks.count + impl_->config.budget_blocks;
  impl_->blocks.in_slices = false;
}

EngineExit Engine::run(hal::UserContext& user) noexcept { return impl_->run(user); }

void Engine::flush_tlb() noexcept {
  if (impl_->tlb_in_use) {
    uc_ctl_flush_tlb(impl_->uc);
    impl_->tlb_in_use = false;
  }
}

void Engine::flush_code() noexcept {
  impl_->hide_untranslatable();
  impl_->watch_refused();
  uc_ctl_flush_tb(impl_->uc);
  uc_context_save(impl_->uc, impl_->contexts.scratch);
  impl_->forget_exception(impl_->contexts.scratch);
  impl_->tlb_in_use = true;
  flush_tlb();
}

void Engine::set_sysenter_cs(u64 value) noexcept { impl_->sysenter_cs = value; }

void Engine::set_code_range(Range range) noexcept { impl_->code_range = range.size == 0 ? Range{0, ~u64{0}} : range; }

void Engine::save_state() noexcept {
  uc_context_save(impl_->uc, impl_->contexts.saved);
  impl_->ran = false;
}
void Engine::restore_state() noexcept {
  impl_->blocks.previous = 0;
  if (impl_->ran) {
    uc_context_restore(impl_->uc, impl_->contexts.saved);  // taken under the same CR3: the TLB stays
    impl_->ran = false;
  }
}
u64 Engine::blocks() const noexcept { return impl_->blocks.count; }

std::string engine_version() {
  unsigned const v = uc_version(nullptr, nullptr);
  return std::to_string(v >> 24 & 0xFF) + "." + std::to_string(v >> 16 & 0xFF) + "." + std::to_string(v >> 8 & 0xFF);
}

}  // namespace mm::sim
