// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/engine.hpp"

#include <unicorn/unicorn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "core/arch/control.hpp"
#include "core/arch/descriptors.hpp"
#include "core/arch/msr.hpp"
#include "core/memory/page_tables.hpp"
#include "sim/engine/calibration.hpp"
#include "sim/engine/cpuid.hpp"
#include "sim/engine/far_operand.hpp"
#include "sim/engine/refused.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;

/// Engine-private physical memory above RAM: the stub, its tables and its GDT. It is there for the first entry only:
/// afterwards no address leads to it, whatever a page table of the guest names.
constexpr u64 kPrivateBase = 8ull << 30;
constexpr u64 kPrivatePages = 8;
enum PrivatePage : u64 { kPml4, kPdpt, kPd, kPt, kStub, kStack, kUserCode, kPrivateGdt };

constexpr u64 kCr0 = 0x80010033;
constexpr u64 kCr4 = 0x668;
constexpr u64 kEferValue = 0xD01;
constexpr u64 kUserFlags = 0x240CD5;  ///< what ring 3 may hold in RFLAGS; IF stays clear, as on the bare machine
/// A system call adds so many to the budget: a loop that makes them is ended by their number, as on the bare machine.
constexpr u64 kBlocksPerSyscall = 64;
constexpr u32 kCodeBufferBytes = 32u << 20;
/// In the engine's copy of the GDT the gate leads to this slot, and code of ring 0 that is not present is in it. Ring 3
/// cannot tell: any use of either selector of ring 0 is #GP with the same error code.
constexpr u64 kAbsentCode = 0x10;
constexpr u64 kAbsentCodeDescriptor = 0x00AF'1B00'0000'FFFF;
constexpr u64 kAddressSpace = 1ull << 36;             ///< of the engine
constexpr u64 kNoMemory = kAddressSpace - kPageSize;  ///< a level-4 table here has reserved bits in every entry

constexpr u64 private_address(PrivatePage page) { return kPrivateBase + page * kPageSize; }

constexpr std::array kRegisters = {UC_X86_REG_RAX, UC_X86_REG_RCX,    UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP,
                                   UC_X86_REG_RBP, UC_X86_REG_RSI,    UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,
                                   UC_X86_REG_R10, UC_X86_REG_R11,    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14,
                                   UC_X86_REG_R15, UC_X86_REG_RFLAGS, UC_X86_REG_RIP, UC_X86_REG_CS};
constexpr int kWritten = 17;  ///< RIP is given to uc_emu_start, CS never changes

/// Descriptors of supervisor.md 4.2 that the stub and ring 3 need.
void write_gdt(std::byte* page) {
  auto put = [page](u64 at, u64 v) { std::memcpy(page + at, &v, 8); };
  for (u64 const selector : {0x38ull, 0x40ull, 0x48ull, 0x50ull, 0x58ull}) {
    put(selector, arch::gdt_entry(selector));
  }
}

}  // namespace

struct Engine::Impl {
  EngineConfig config;
  uc_engine* uc = nullptr;
  uc_context* scratch = nullptr;  ///< at a fault
  uc_context* denied = nullptr;   ///< at the first denied instruction of a run
  uc_context* saved = nullptr;    ///< save_state()
  std::byte* private_memory = nullptr;
  std::vector<std::byte*> overlay_pages;
  std::vector<u64> overlays;  ///< physical addresses, [0] is the GDT page
  std::array<u64, kRegisters.size()> values{};
  std::array<void*, kRegisters.size()> pointers{};
  u64 cr3 = 0;
  u64 budget_end = 0;
  u64 slice_end = 0;
  u64 block_limit = 0;
  u64 block_count = 0;
  u64 previous_block = 0;
  Range code_range{0, ~u64{0}};
  bool in_slices = false;  ///< the next run() continues this one
  u64 sysenter_cs = 0;
  bool placed = false;           ///< the guest's GDT is in use, the private pages are gone
  std::vector<uc_hook> watched;  ///< hooks on addresses where a refused instruction may start
  bool ran = true;               ///< since save_state() or restore_state()
  bool tlb_in_use = true;        ///< since the last flush

  // What the hooks of the current run recorded.
  enum class Reason { None, Syscall, Interrupt, Denied, Limit, CodeCheck, Ring0 };
  Reason reason = Reason::None;
  u32 vector = 0;
  u64 cr2 = 0;

  ~Impl() {
    if (uc != nullptr) {
      for (uc_context* context : {scratch, denied, saved}) {
        if (context != nullptr) {
          uc_context_free(context);
        }
      }
      uc_close(uc);
    }
    std::free(private_memory);
    for (std::byte* page : overlay_pages) {
      std::free(page);
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
  template <typename F>
  void for_each_code_page(F&& f) const;
};

namespace {

using Impl = Engine::Impl;

/// The flags that ring 3 is entered with.
u64 entry_flags(hal::UserContext const& user) { return (user.rflags & (kUserFlags | arch::kFlagTrap)) | 2; }

void on_block(uc_engine* uc, uint64_t address, uint32_t, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.block_count >= e.block_limit) {
    if (e.reason == Impl::Reason::None) {
      e.reason = Impl::Reason::Limit;
    }
    uc_emu_stop(uc);
    return;
  }
  if (address - e.code_range.base >= e.code_range.size) {
    e.reason = e.reason == Impl::Reason::None ? Impl::Reason::CodeCheck : e.reason;
    uc_emu_stop(uc);
    return;
  }
  ++e.block_count;
  if (!e.config.coverage.empty()) {
    u64 const here = (address >> 1) * 0x9E3779B97F4A7C15 >> 32;
    ++e.config.coverage[(here ^ e.previous_block) & (e.config.coverage.size() - 1)];
    e.previous_block = here >> 1;
  }
}

void on_syscall(uc_engine* uc, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.reason == Impl::Reason::None) {
    e.reason = Impl::Reason::Syscall;
  }
  uc_emu_stop(uc);
}

void on_interrupt(uc_engine* uc, uint32_t vector, void* user) {
  auto& e = *static_cast<Impl*>(user);
  if (e.reason == Impl::Reason::None) {
    e.reason = Impl::Reason::Interrupt;
    e.vector = vector;
    uc_reg_read(uc, UC_X86_REG_CR2, &e.cr2);
    uc_context_save(uc, e.scratch);
  }
  uc_emu_stop(uc);
}

/// What the engine does not refuse at CPL 3, port I/O above all. Remember the state before the instruction and take
/// every mapping away, so that nothing that the rest of the block does can have an effect.
void deny(uc_engine* uc, Impl& e, u32 vector = 13, Impl::Reason reason = Impl::Reason::Denied) {
  if (e.reason == Impl::Reason::None) {
    e.reason = reason;
    e.vector = vector;
    uc_context_save(uc, e.denied);
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

/// Where there is no memory: zeros, as QEMU reads them.
uint64_t on_hole_read(uc_engine*, uint64_t, unsigned, void*) { return 0; }
void on_hole_write(uc_engine*, uint64_t, unsigned, uint64_t, void*) {}

int on_rdtsc(uc_engine* uc, void* user) {
  auto& e = *static_cast<Impl*>(user);
  u64 const ticks = e.block_count * 4 + (e.config.time_ns != nullptr ? *e.config.time_ns : 0);
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

template <typename F>
void* erase(F* function) {
  return reinterpret_cast<void*>(function);
}

std::string problem(char const* what, uc_err error) {
  return std::string("simulator engine: ") + what + ": " + uc_strerror(error);
}

}  // namespace

#define MM_UC(what, call)                                            \
  if (uc_err const mm_uc_error = (call); mm_uc_error != UC_ERR_OK) { \
    return std::unexpected(problem(what, mm_uc_error));              \
  }

std::expected<void, std::string> Engine::Impl::open() {
  for (std::size_t i = 0; i < values.size(); ++i) {
    pointers[i] = &values[i];
  }
  MM_UC("cannot open it", uc_open(UC_ARCH_X86, UC_MODE_64, &uc));
  MM_UC("CPU model", uc_ctl_set_cpu_model(uc, UC_CPU_X86_WESTMERE));
  MM_UC("code buffer", uc_ctl_set_tcg_buffer_size(uc, kCodeBufferBytes));
  private_memory = static_cast<std::byte*>(std::aligned_alloc(kPageSize, kPrivatePages * kPageSize));
  std::memset(private_memory, 0, kPrivatePages * kPageSize);
  MM_UC("map RAM", uc_mem_map_ptr(uc, 0, config.ram.size(), UC_PROT_ALL, config.ram.data()));
  MM_UC("map the private pages",
        uc_mem_map_ptr(uc, kPrivateBase, kPrivatePages * kPageSize, UC_PROT_ALL, private_memory));
  MM_UC("context", uc_context_alloc(uc, &scratch));
  MM_UC("context", uc_context_alloc(uc, &denied));
  MM_UC("context", uc_context_alloc(uc, &saved));
  MM_TRY(enter_first_time());
  return add_hooks();
}

/// Gets the CPU to CPL 3 by an IRETQ on private page tables, and leaves it there for good.
std::expected<void, std::string> Engine::Impl::enter_first_time() {
  auto page = [this](PrivatePage p) { return private_memory + p * kPageSize; };
  auto put = [](std::byte* at, u64 index, u64 v) { std::memcpy(at + index * 8, &v, 8); };
  put(page(kPml4), 0, private_address(kPdpt) | pte::kTable);
  put(page(kPdpt), kPrivateBase >> 30 & 511, private_address(kPd) | pte::kTable);
  put(page(kPd), 0, private_address(kPt) | pte::kTable);
  for (u64 i = 0; i < kPrivatePages; ++i) {
    u64 const user = i == kUserCode ? pte::kUser : 0;
    put(page(kPt), i,
        (kPrivateBase + i * kPageSize) | pte::kPresent | pte::kWritable | pte::kAccessed | pte::kDirty | user);
  }
  page(kStub)[0] = std::byte{0x48};
  page(kStub)[1] = std::byte{0xCF};
  std::memset(page(kUserCode), 0x90, 16);
  write_gdt(page(kPrivateGdt));
  // Not at the start of the page: after the stop the engine looks at the byte before.
  u64 const user_code = private_address(kUserCode) + 8;
  std::array<u64, 5> const frame{user_code, arch::kUserCodeSelector, 2, private_address(kStack) + 0x100,
                                 arch::kUserDataSelector};
  std::memcpy(page(kStack), frame.data(), sizeof(frame));

  uc_x86_msr efer{arch::kMsrEfer, kEferValue};
  u64 const cr0 = kCr0;
  u64 const cr4 = kCr4;
  u64 const tables = private_address(kPml4);
  u64 const stack = private_address(kStack);
  uc_x86_mmr const gdtr{0, private_address(kPrivateGdt), 0x7F, 0};
  MM_UC("EFER", uc_reg_write(uc, UC_X86_REG_MSR, &efer));
  MM_UC("CR4", uc_reg_write(uc, UC_X86_REG_CR4, &cr4));
  MM_UC("CR3", uc_reg_write(uc, UC_X86_REG_CR3, &tables));
  MM_UC("CR0", uc_reg_write(uc, UC_X86_REG_CR0, &cr0));
  MM_UC("GDTR", uc_reg_write(uc, UC_X86_REG_GDTR, &gdtr));
  MM_UC("RSP", uc_reg_write(uc, UC_X86_REG_RSP, &stack));
  MM_UC("first entry", uc_emu_start(uc, private_address(kStub), user_code, 0, 0));
  u64 cs = 0;
  uc_reg_read(uc, UC_X86_REG_CS, &cs);
  if ((cs & 0xFFFF) != arch::kUserCodeSelector) {
    return std::unexpected("simulator engine: the first entry did not reach CPL 3");
  }
  MM_UC("exits", uc_ctl_exits_enable(uc));
  MM_UC("save", uc_context_save(uc, saved));
  cr3 = tables;
  forget_exception(saved);
  return {};
}

/// The private pages go, and everything above RAM is a hole of the bus.
std::expected<void, std::string> Engine::Impl::leave_private_pages() {
  u64 const end = config.ram.size();
  MM_UC("unmap the private pages", uc_mem_unmap(uc, kPrivateBase, kPrivatePages * kPageSize));
  MM_UC("hole", uc_mmio_map(uc, end, kAddressSpace - end, on_hole_read, nullptr, on_hole_write, nullptr));
  placed = true;
  return {};
}

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
  return {};
}

/// Lets the engine see a private copy of one physical page of RAM.
std::expected<void, std::string> Engine::Impl::overlay(u64 page, std::byte*& copy) {
  auto const known = std::ranges::find(overlays, page);
  if (known != overlays.end()) {
    copy = overlay_pages[static_cast<std::size_t>(known - overlays.begin())];
    std::memcpy(copy, config.ram.data() + page, kPageSize);
    return {};
  }
  copy = static_cast<std::byte*>(std::aligned_alloc(kPageSize, kPageSize));
  std::memcpy(copy, config.ram.data() + page, kPageSize);
  MM_UC("unmap", uc_mem_unmap(uc, page, kPageSize));
  MM_UC("overlay", uc_mem_map_ptr(uc, page, kPageSize, UC_PROT_ALL, copy));
  overlays.push_back(page);
  overlay_pages.push_back(copy);
  return {};
}

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

/// The engine never delivers, so it would count the next fault as a double one: mark the saved state as fault-free.
void Engine::Impl::forget_exception(uc_context* context) noexcept {
  int const none = -1;
  std::memcpy(reinterpret_cast<std::byte*>(context) + calibration().old_exception, &none, sizeof(none));
  uc_context_restore(uc, context);
  uc_reg_write(uc, UC_X86_REG_CR3, &cr3);
}

/// An entry of a page table in RAM; where there is none, one that is not present.
u64 Engine::Impl::table_entry(u64 at) const noexcept {
  u64 entry = 0;
  if (at + sizeof entry <= config.ram.size()) {
    std::memcpy(&entry, config.ram.data() + at, sizeof entry);
  }
  return entry;
}

u64 Engine::Impl::leaf(u64 address) const noexcept {
  auto const found = memory::find_leaf([this](u64 at) noexcept { return table_entry(at); }, cr3, address);
  if (!found) {
    return 0;
  }
  u64 const inside = address & (found->bytes() - 1) & ~(kPageSize - 1);
  return (found->target() + inside) | (found->rights & pte::kFullRights) | pte::kPresent |
         (found->value & pte::kNoExecute);
}

bool Engine::Impl::read_code(u64 at, std::span<u8> out) const noexcept {
  for (u8& byte : out) {
    u64 const entry = leaf(at);
    u64 const physical = (entry & pte::kAddress) + (at & (kPageSize - 1));
    if (entry == 0 || physical >= config.ram.size()) {
      return false;
    }
    byte = static_cast<u8>(config.ram[physical]);
    ++at;
  }
  return true;
}

/// The opcode behind the prefixes of the instruction at `at`, and the byte after it; 0 where nothing can be read.
std::array<u8, 2> Engine::Impl::opcode_at(u64 at) const noexcept {
  constexpr auto kPrefixes = std::to_array<u8>({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3});
  std::array<u8, 2> code{};
  u64 const end = at + 14;  // of the longest instruction
  while (at < end && read_code(at, std::span(code).first(1)) &&
         ((code[0] & 0xF0) == 0x40 || std::ranges::find(kPrefixes, code[0]) != kPrefixes.end())) {
    ++at;
  }
  read_code(at + 1, std::span(code).last(1));
  return code;
}

EngineExit Engine::Impl::invalid_opcode(hal::UserContext& user) noexcept {
  // No exception state is left behind in the engine, but be sure.
  uc_context_save(uc, scratch);
  forget_exception(scratch);
  std::array<u8, 2> code{};
  if (read_code(user.rip, code) && code[0] == 0x0F && code[1] == 0xAA) {
    return {.stop = EngineStop::Rsm};
  }
  return {.stop = EngineStop::Fault, .vector = 6};
}

std::size_t Engine::Impl::instruction_at(u64 at, std::span<u8> out) const noexcept {
  std::size_t bytes = 0;
  while (bytes < out.size() && read_code(at + bytes, out.subspan(bytes, 1))) {
    ++bytes;
  }
  return bytes;
}

/// Whether the instruction at RIP is a far CALL or JMP with the selector of the gate.
bool Engine::Impl::goes_through_gate(hal::UserContext const& user) const noexcept {
  std::array<u8, 15> code{};
  auto const bytes = instruction_at(user.rip, code);
  auto const at = far_selector_address(std::span<u8 const>(code).first(bytes), user);
  std::array<u8, 2> selector{};
  return at && read_code(*at, selector) && ((selector[0] | selector[1] << 8) & ~7) == arch::kGateSelector;
}

EngineExit Engine::Impl::fault_exit(hal::UserContext& user) noexcept {
  auto const* blob = reinterpret_cast<std::byte const*>(scratch);
  int error = 0;
  int software = 0;
  std::memcpy(&error, blob + calibration().error_code, sizeof(error));
  std::memcpy(&software, blob + calibration().is_int, sizeof(software));
  forget_exception(scratch);
  store(user);
  auto const code = static_cast<u64>(static_cast<u32>(error));
  if (software != 0) {
    // INT n and INT3 through gates that ring 3 may not use: #GP at the instruction.
    std::array<u8, 1> last{};
    bool const one_byte = vector == 3 && read_code(user.rip - 1, last) && last[0] == 0xCC;
    user.rip -= one_byte ? 1 : 2;
    return {.stop = EngineStop::Fault, .vector = 13, .error_code = u64{vector} * 8 + 2};
  }
  auto const opcode = opcode_at(user.rip);
  if (vector == 11 && (code & ~u64{7}) == kAbsentCode) {
    return {.stop = EngineStop::Return};  // a far CALL through the gate; nothing else finds out that it is absent
  }
  if (vector == 13 && (code & ~u64{7}) == kAbsentCode && goes_through_gate(user)) {
    return {.stop = EngineStop::Fault,
            .vector = 13,
            .error_code = arch::kSupervisorCodeSelector};  // JMP would have to stay at CPL 3
  }
  constexpr u64 kFetch = 0x10;  // what lies there is no instruction
  if (vector == 14 && (code & kFetch) == 0 && opcode[0] >= 0x6C && opcode[0] <= 0x6F) {
    return {.stop = EngineStop::Fault, .vector = 13};  // INS, OUTS: the port comes before the memory
  }
  bool const has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
  return {
      .stop = EngineStop::Fault, .vector = vector, .error_code = has_code ? code : 0, .cr2 = vector == 14 ? cr2 : 0};
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
  if (block_count >= budget_end) {
    return {.stop = EngineStop::Budget};
  }
  slice_end =
      config.slice_blocks == 0 ? budget_end : std::min(budget_end, block_count + std::max<u64>(2, config.slice_blocks));
  block_limit = slice_end;
  if (traps_on_return(user)) {
    return {.stop = EngineStop::Fault, .vector = 1};
  }
  reason = Reason::None;
  ran = true;
  tlb_in_use = true;
  load(user);
  if (!std::exchange(in_slices, false) && enters_by_iret(user)) {
    load_segments();
  }
  uc_err const error = uc_emu_start(uc, user.rip, 0, 0, 0);
  if (reason == Reason::Denied || reason == Reason::Ring0) {
    uc_context_restore(uc, denied);
    uc_reg_write(uc, UC_X86_REG_CR3, &cr3);
    store(user);
    return {.stop = reason == Reason::Ring0 ? EngineStop::Ring0 : EngineStop::Fault, .vector = vector};
  }
  if (reason == Reason::Interrupt) {
    return fault_exit(user);
  }
  store(user);
  if ((values[18] & 0xFFFF) != arch::kUserCodeSelector || (user.rflags & arch::kFlagVirtual8086) != 0) {
    uc_context_restore(uc, saved);
    uc_reg_write(uc, UC_X86_REG_CR3, &cr3);
    return {.stop = (values[18] & 3) == 0 ? EngineStop::Ring0 : EngineStop::Fault, .vector = 13};
  }
  switch (reason) {
    case Reason::Syscall:
      budget_end += kBlocksPerSyscall;
      user.rcx = user.rip;
      user.r11 = user.rflags;
      return {.stop = EngineStop::Syscall};
    case Reason::Limit:
      in_slices = block_count < budget_end;
      return {.stop = in_slices ? EngineStop::Slice : EngineStop::Budget};
    default:
      break;
  }
  if (error == UC_ERR_INSN_INVALID) {
    return invalid_opcode(user);
  }
  // An access to a physical address without memory behind it, or a stop without reason: a machine check.
  return {.stop = EngineStop::Fault, .vector = 18};
}

/// The engine aborts the process when it translates LOCK BT/BTS/BTR/BTC with a register operand (they are #UD on a
/// CPU). Where those bytes are in an executable user page, at whatever offset, the engine gets a copy of the page with
/// an invalid opcode in place of the prefix.
void Engine::Impl::hide_untranslatable() noexcept {
  auto is_bit_test = [](u8 const* p) {  // behind F0
    std::size_t i = 0;
    while (i < 4 && (p[i] == 0x66 || p[i] == 0xF2 || p[i] == 0xF3 || p[i] == 0xF0 || (p[i] & 0xF0) == 0x40)) {
      ++i;
    }
    if (p[i] != 0x0F || p[i + 2] < 0xC0) {
      return false;
    }
    u8 const op = p[i + 1];
    return op == 0xA3 || op == 0xAB || op == 0xB3 || op == 0xBB || (op == 0xBA && (p[i + 2] & 0x20) != 0);
  };
  for_each_code_page([&](u64 page, u64 physical) {
    auto const* bytes = reinterpret_cast<u8 const*>(config.ram.data() + physical);
    std::byte* copy = nullptr;
    for (u64 i = 0; i < kPageSize; ++i) {
      if (bytes[i] != 0xF0) {
        continue;
      }
      std::array<u8, 8> tail{};
      u64 const here = std::min<u64>(tail.size(), kPageSize - 1 - i);
      std::memcpy(tail.data(), bytes + i + 1, here);
      if (here < tail.size()) {
        read_code(page + kPageSize, std::span(tail).subspan(here));
      }
      if (is_bit_test(tail.data()) && (copy != nullptr || overlay(physical, copy).has_value())) {
        copy[i] = std::byte{0x06};
      }
    }
  });
}

/// Hooks every address of executable user pages at which an instruction may start that refused_vector() knows: the
/// opcode's, and those of the prefixes before it. A hook costs nothing where no instruction starts there.
void Engine::Impl::watch_refused() noexcept {
  for (uc_hook const hook : watched) {
    uc_hook_del(uc, hook);
  }
  watched.clear();
  auto const watch = [this](u64 at) {
    if (uc_hook hook = 0; uc_hook_add(uc, &hook, UC_HOOK_CODE, erase(on_watched), this, at, at) == UC_ERR_OK) {
      watched.push_back(hook);
    }
  };
  for_each_code_page([&](u64 page, u64 physical) {
    auto const* bytes = reinterpret_cast<u8 const*>(config.ram.data() + physical);
    for (u64 i = 0; i < kPageSize; ++i) {
      if (bytes[i] != 0x0F && bytes[i] != 0xC4 && bytes[i] != 0xC5) {
        continue;
      }
      std::array<u8, 4> code{};
      std::size_t length = std::min<u64>(code.size(), kPageSize - i);
      std::memcpy(code.data(), bytes + i, length);
      while (length < code.size() && read_code(page + i + length, std::span(code).subspan(length, 1))) {
        ++length;
      }
      if (!may_be_refused(std::span<u8 const>(code).first(length))) {
        continue;
      }
      watch(page + i);
      std::array<u8, 1> before{};
      for (u64 at = page + i; read_code(at - 1, before) && is_prefix(before[0]) && page + i - at < 14;) {
        watch(--at);
      }
    }
  });
}

/// Calls f(address, physical address) for each 4 KiB page that ring 3 may execute.
template <typename F>
void Engine::Impl::for_each_code_page(F&& f) const {
  memory::visit([this](u64 at) noexcept { return table_entry(at); }, cr3,
                [&](memory::TableEntry const& entry) {
                  bool const reachable = entry.user() && entry.executable();
                  for (u64 at = 0; reachable && entry.is_leaf() && at < entry.bytes(); at += kPageSize) {
                    if (entry.target() + at + kPageSize <= config.ram.size()) {
                      f(entry.linear + at, entry.target() + at);
                    }
                  }
                  return reachable;
                });
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::expected<std::unique_ptr<Engine>, std::string> Engine::create(EngineConfig const& config) {
  MM_TRY(calibrate());
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  impl->budget_end = config.budget_blocks;  // of an entry that nothing announced
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
  MM_UC("save", uc_context_save(e.uc, e.saved));
  e.forget_exception(e.saved);
  e.tlb_in_use = true;
  flush_tlb();
  return {};
}

void Engine::set_cr3(u64 cr3) noexcept {
  impl_->cr3 = cr3;
  impl_->tlb_in_use = true;
  uc_reg_write(impl_->uc, UC_X86_REG_CR3, &cr3);
  uc_context_save(impl_->uc, impl_->saved);
}

void Engine::begin_entry() noexcept {
  impl_->budget_end = impl_->block_count + impl_->config.budget_blocks;
  impl_->in_slices = false;
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
  uc_context_save(impl_->uc, impl_->scratch);
  impl_->forget_exception(impl_->scratch);
  impl_->tlb_in_use = true;
  flush_tlb();
}

void Engine::clean_vector_state() noexcept {
  static constexpr std::array kIds = {
      UC_X86_REG_FPCW,  UC_X86_REG_FPSW,  UC_X86_REG_FPTAG, UC_X86_REG_MXCSR, UC_X86_REG_FIP,   UC_X86_REG_FCS,
      UC_X86_REG_FDP,   UC_X86_REG_FDS,   UC_X86_REG_FOP,   UC_X86_REG_FP0,   UC_X86_REG_FP1,   UC_X86_REG_FP2,
      UC_X86_REG_FP3,   UC_X86_REG_FP4,   UC_X86_REG_FP5,   UC_X86_REG_FP6,   UC_X86_REG_FP7,   UC_X86_REG_XMM0,
      UC_X86_REG_XMM1,  UC_X86_REG_XMM2,  UC_X86_REG_XMM3,  UC_X86_REG_XMM4,  UC_X86_REG_XMM5,  UC_X86_REG_XMM6,
      UC_X86_REG_XMM7,  UC_X86_REG_XMM8,  UC_X86_REG_XMM9,  UC_X86_REG_XMM10, UC_X86_REG_XMM11, UC_X86_REG_XMM12,
      UC_X86_REG_XMM13, UC_X86_REG_XMM14, UC_X86_REG_XMM15};
  static constexpr u16 kControl = 0x037F;
  static constexpr u16 kAllEmpty = 0xFFFF;
  static constexpr u32 kMxcsr = 0x1F80;
  static constexpr std::array<u64, 2> kZero{};
  std::array<int, kIds.size()> ids{};
  std::array<void*, kIds.size()> values{};
  for (std::size_t i = 0; i < kIds.size(); ++i) {
    ids[i] = kIds[i];
    void const* const value = kIds[i] == UC_X86_REG_FPCW    ? static_cast<void const*>(&kControl)
                              : kIds[i] == UC_X86_REG_FPTAG ? static_cast<void const*>(&kAllEmpty)
                              : kIds[i] == UC_X86_REG_MXCSR ? static_cast<void const*>(&kMxcsr)
                                                            : static_cast<void const*>(kZero.data());
    values[i] = const_cast<void*>(value);  // NOLINT(cppcoreguidelines-pro-type-const-cast): the library only reads
  }
  uc_reg_write_batch(impl_->uc, ids.data(), values.data(), static_cast<int>(ids.size()));
  impl_->ran = true;
}

void Engine::set_sysenter_cs(u64 value) noexcept { impl_->sysenter_cs = value; }

void Engine::set_code_range(Range range) noexcept { impl_->code_range = range.size == 0 ? Range{0, ~u64{0}} : range; }

void Engine::save_state() noexcept {
  uc_context_save(impl_->uc, impl_->saved);
  impl_->ran = false;
}
void Engine::restore_state() noexcept {
  impl_->previous_block = 0;
  if (impl_->ran) {
    uc_context_restore(impl_->uc, impl_->saved);
    uc_reg_write(impl_->uc, UC_X86_REG_CR3, &impl_->cr3);
    impl_->ran = false;
    impl_->tlb_in_use = true;
  }
}
u64 Engine::blocks() const noexcept { return impl_->block_count; }

std::string engine_version() {
  unsigned const v = uc_version(nullptr, nullptr);
  return std::to_string(v >> 24 & 0xFF) + "." + std::to_string(v >> 16 & 0xFF) + "." + std::to_string(v >> 8 & 0xFF);
}

}  // namespace mm::sim
