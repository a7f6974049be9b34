// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/qemu_rom/chipset.hpp"

#include "core/abi/platform.hpp"
#include "core/arch/ipi.hpp"
#include "hal/bare/instructions.hpp"
#include "hal/qemu_rom/layout.hpp"

namespace mm::rom {
namespace {

constexpr u32 kMch = 0x8000'0000;
constexpr u32 kLpc = 0x8000'0000 | 31u << 11;
constexpr u16 kPortConfigAddress = 0xCF8;
constexpr u16 kPortConfigData = 0xCFC;

constexpr u32 kMchExtendedTseg = 0x50, kMchPciExBar = 0x60, kMchSmramc = 0x9D, kMchEsmramc = 0x9E;
constexpr u32 kLpcPmBase = 0x40, kLpcAcpiControl = 0x44, kLpcGenPmCon1 = 0xA0;
constexpr u16 kPortSmiEnable = platform::kPmBase + 0x30;

using arch::kApicIcrHigh;
using arch::kApicIcrLow;
constexpr u64 kApic = arch::kApicPage;
constexpr u64 kApicId = 0x20, kApicSpurious = 0xF0;
constexpr u32 kIcrPending = 1u << 12;

u16 select(u32 device, u32 offset) noexcept {
  bare::out32(kPortConfigAddress, device | (offset & 0xFC));
  return static_cast<u16>(kPortConfigData + (offset & 3));
}
u8 config_read8(u32 device, u32 offset) noexcept { return bare::in8(select(device, offset)); }
u16 config_read16(u32 device, u32 offset) noexcept { return bare::in16(select(device, offset)); }
void config_write8(u32 device, u32 offset, u8 value) noexcept { bare::out8(select(device, offset), value); }
void config_write16(u32 device, u32 offset, u16 value) noexcept { bare::out16(select(device, offset), value); }
void config_write32(u32 device, u32 offset, u32 value) noexcept { bare::out32(select(device, offset), value); }

u32 volatile& apic(u64 offset) noexcept { return *reinterpret_cast<u32 volatile*>(kApic + offset); }
u8 cmos(u8 index) noexcept {
  bare::out8(0x70, index);
  return bare::in8(0x71);
}

}  // namespace

void set_up_chipset() noexcept {
  config_write32(kLpc, kLpcPmBase, platform::kPmBase | 1);
  config_write8(kLpc, kLpcAcpiControl, 0x80);
  config_write32(kMch, kMchPciExBar + 4, 0);
  config_write32(kMch, kMchPciExBar, 0xB000'0001);
  apic(kApicSpurious) = 0x1FF;
}

u64 low_ram_bytes() noexcept {
  u64 const units = static_cast<u64>(cmos(0x35)) << 8 | cmos(0x34);
  return (units << 16) + (16ull << 20);
}

u64 tseg_bytes() noexcept {
  config_write16(kMch, kMchExtendedTseg, 0xFFFF);
  u16 const mebibytes = config_read16(kMch, kMchExtendedTseg);
  return mebibytes == 0xFFFF ? 0 : static_cast<u64>(mebibytes) << 20;
}

bool lock_tseg() noexcept {
  config_write8(kMch, kMchEsmramc, 0x07);  // extended size, T_EN
  config_write8(kMch, kMchSmramc, 0x0A);   // G_SMRAME
  config_write8(kMch, kMchSmramc, 0x1A);   // D_LCK
  return config_read8(kMch, kMchSmramc) == 0x1A && config_read8(kMch, kMchEsmramc) == 0x3F;
}

void enable_smi() noexcept {
  bare::out32(kPortSmiEnable, 0x21);  // APMC_EN, GBL_SMI_EN
  config_write8(kLpc, kLpcGenPmCon1, static_cast<u8>(config_read8(kLpc, kLpcGenPmCon1) | 0x10));
  bare::out32(kPortConfigAddress, 0);  // names no register to whoever comes next
}

void wait_us(u64 us) noexcept {
  u64 const ticks = us * platform::kPmTimerHz / 1'000'000 + 1;
  u32 last = bare::in32(platform::kPortPmTimer);
  for (u64 passed = 0; passed < ticks;) {
    bare::pause();
    u32 const now = bare::in32(platform::kPortPmTimer);
    passed += (now - last) & 0xFF'FFFF;
    last = now;
  }
}

u32 own_apic_id() noexcept { return apic(kApicId) >> 24; }

void set_ipi_destination(u32 apic_id) noexcept { apic(kApicIcrHigh) = apic_id << 24; }

void send_ipi(u32 apic_id, u32 command) noexcept {
  set_ipi_destination(apic_id);
  apic(kApicIcrLow) = command;
  asm volatile("jmp 1f\n1:" : : : "memory");  // QEMU takes an SMI to this CPU here
  while ((apic(kApicIcrLow) & kIcrPending) != 0) {
    bare::pause();
  }
}

void start_aps() noexcept {
  using arch::DeliveryMode;
  using arch::ipi_command;
  using arch::Shorthand;
  u32 const start = ipi_command(DeliveryMode::Startup, Shorthand::Others, arch::kStartVector);
  send_ipi(0, ipi_command(DeliveryMode::Init, Shorthand::Others));
  wait_us(10);
  send_ipi(0, start);
  wait_us(10);
  send_ipi(0, start);
}

}  // namespace mm::rom
