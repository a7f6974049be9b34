// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>
#include <cstring>

#include "core/arch/control.hpp"
#include "core/arch/descriptors.hpp"
#include "core/arch/msr.hpp"
#include "sim/engine/engine_impl.hpp"

/// Making an engine: memory, the first way to CPL 3, pages that it sees as copies.
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
constexpr u32 kCodeBufferBytes = 32u << 20;

constexpr u64 private_address(PrivatePage page) { return kPrivateBase + page * kPageSize; }

/// Descriptors of core/abi/ABI.md 8 that the stub and ring 3 need.
void write_gdt(std::byte* page) {
  auto put = [page](u64 at, u64 v) { std::memcpy(page + at, &v, 8); };
  for (u64 const selector : {0x38ull, 0x40ull, 0x48ull, 0x50ull, 0x58ull}) {
    put(selector, arch::gdt_entry(selector));
  }
}

/// Where there is no memory: a device, else zeros, as QEMU reads them. The hole begins behind RAM.
uint64_t on_hole_read(uc_engine*, uint64_t offset, unsigned bytes, void* user) {
  EngineConfig const& config = static_cast<Engine::Impl*>(user)->config;
  return config.bus.read == nullptr ? 0 : config.bus.read(config.bus.self, config.ram.size() + offset, bytes);
}
void on_hole_write(uc_engine*, uint64_t offset, unsigned bytes, uint64_t value, void* user) {
  EngineConfig const& config = static_cast<Engine::Impl*>(user)->config;
  if (config.bus.write != nullptr) {
    config.bus.write(config.bus.self, config.ram.size() + offset, bytes, value);
  }
}

/// RAM, with a copy in the place of one page. Not before that page is known: to take it out of one piece of RAM costs
/// Unicorn as much as the rest of making a machine, because it gives up what it knows of each page of the piece.
std::expected<void, std::string> map_ram(uc_engine* uc, std::span<std::byte> ram, u64 page, std::byte* copy) {
  u64 const behind = page + kPageSize;
  if (page != 0) {
    MM_UC("map RAM", uc_mem_map_ptr(uc, 0, page, UC_PROT_ALL, ram.data()));
  }
  MM_UC("overlay", uc_mem_map_ptr(uc, page, kPageSize, UC_PROT_ALL, copy));
  if (behind != ram.size()) {
    MM_UC("map RAM", uc_mem_map_ptr(uc, behind, ram.size() - behind, UC_PROT_ALL, ram.data() + behind));
  }
  return {};
}

}  // namespace

std::expected<void, std::string> Engine::Impl::open() {
  for (std::size_t i = 0; i < values.size(); ++i) {
    pointers[i] = &values[i];
  }
  MM_UC("cannot open it", uc_open(UC_ARCH_X86, UC_MODE_64, &uc));
  MM_UC("CPU model", uc_ctl_set_cpu_model(uc, UC_CPU_X86_WESTMERE));
  MM_UC("code buffer", uc_ctl_set_tcg_buffer_size(uc, kCodeBufferBytes));
  private_memory = static_cast<std::byte*>(std::aligned_alloc(kPageSize, kPrivatePages * kPageSize));
  std::memset(private_memory, 0, kPrivatePages * kPageSize);
  MM_UC("map the private pages",
        uc_mem_map_ptr(uc, kPrivateBase, kPrivatePages * kPageSize, UC_PROT_ALL, private_memory));
  MM_UC("context", uc_context_alloc(uc, &contexts.scratch));
  MM_UC("context", uc_context_alloc(uc, &contexts.denied));
  MM_UC("context", uc_context_alloc(uc, &contexts.saved));
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
  MM_UC("save", uc_context_save(uc, contexts.saved));
  cr3 = tables;
  forget_exception(contexts.saved);
  return {};
}

/// The private pages go, and everything above RAM is a hole of the bus.
std::expected<void, std::string> Engine::Impl::leave_private_pages() {
  u64 const end = config.ram.size();
  MM_UC("unmap the private pages", uc_mem_unmap(uc, kPrivateBase, kPrivatePages * kPageSize));
  MM_UC("hole", uc_mmio_map(uc, end, kAddressSpace - end, on_hole_read, this, on_hole_write, this));
  placed = true;
  return {};
}

/// Lets the engine see a private copy of one physical page of RAM. The first one, the GDT page, brings RAM with it.
std::expected<void, std::string> Engine::Impl::overlay(u64 page, std::byte*& copy) {
  if (auto const known = std::ranges::find(overlays, page, &Overlay::page); known != overlays.end()) {
    copy = known->copy;
    std::memcpy(copy, config.ram.data() + page, kPageSize);
    return {};
  }
  copy = static_cast<std::byte*>(std::aligned_alloc(kPageSize, kPageSize));
  std::memcpy(copy, config.ram.data() + page, kPageSize);
  overlays.push_back({page, copy});
  if (overlays.size() == 1) {
    return map_ram(uc, config.ram, page, copy);
  }
  MM_UC("unmap", uc_mem_unmap(uc, page, kPageSize));
  MM_UC("overlay", uc_mem_map_ptr(uc, page, kPageSize, UC_PROT_ALL, copy));
  return {};
}

}  // namespace mm::sim
