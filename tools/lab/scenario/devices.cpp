// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/abi/comm.hpp"
#include "core/abi/guids.hpp"
#include "core/abi/platform.hpp"
#include "core/abi/variable_flash.hpp"
#include "tools/lab/firmware/fv_writer.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/scenario/hobs.hpp"

namespace mm::lab {
namespace {

constexpr u32 kBlockBytes = kPageSize;
constexpr u64 kMostWindowBytes = 64u << 20;
constexpr Guid kOwner = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0210"_guid;

/// One half is the spare; the other holds the variables, a page of event log and a page of FTW working block.
abi::VariableFlashInfo layout_of(DeviceSpec const& flash) {
  u64 const half = flash.bytes / 2;
  abi::VariableFlashInfo info;
  info.variable_base = flash.base;
  info.variable_bytes = half - 2 * kBlockBytes;
  info.working_base = flash.base + half - kBlockBytes;
  info.working_bytes = kBlockBytes;
  info.spare_base = flash.base + half;
  info.spare_bytes = half;
  return info;
}

/// VARIABLE_STORE_HEADER of an empty store (MdeModulePkg, Guid/VariableFormat.h).
Bytes store_header(u64 bytes) {
  constexpr Guid kAuthenticated = "AAF32C78-947B-439A-A180-2E144EC37792"_guid;
  Bytes out;
  append_object(out, kAuthenticated);
  append_object(out, static_cast<u32>(bytes));
  append_object(out, std::array<u8, 8>{0x5A, 0xFE});  // formatted, healthy
  return out;
}

/// What of the platform has addresses of its own, and would never be asked.
struct Taken {
  Range range;
  char const* name;
};
constexpr std::array<Taken, 2> kTakenMemory{
    {{{0xB000'0000, 256u << 20}, "PCI configuration space"}, {{0xFEE0'0000, kPageSize}, "the local APIC"}}};
constexpr std::array<Taken, 9> kTakenPorts{{{{0x64, 1}, "the keyboard controller"},
                                            {{0x70, 2}, "CMOS"},
                                            {{0x92, 1}, "port 92"},
                                            {{0xB2, 2}, "APM"},
                                            {{0xF4, 4}, "the end of a run"},
                                            {{0x3F8, 8}, "COM1"},
                                            {{0x402, 1}, "the debug console"},
                                            {{0x600, 0x80}, "the PM block"},
                                            {{0xCF8, 8}, "PCI configuration"}}};

std::expected<void, std::string> free_of(DeviceSpec const& device, std::span<Taken const> taken) {
  auto const over = std::ranges::find_if(taken, [&](Taken const& t) { return t.range.overlaps(device.range()); });
  if (over != taken.end()) {
    return std::unexpected(fmt::format("{} is at {:#x}", over->name, over->range.base));
  }
  return {};
}

std::expected<void, std::string> check_memory(DeviceSpec const& device, abi::BootConfig const& boot) {
  constexpr u64 kFourGiB = u64{1} << 32;
  if (device.bytes > kMostWindowBytes || device.base > kFourGiB - device.bytes) {
    return std::unexpected(fmt::format("it ends below 4 GiB, and has at most {} MiB", kMostWindowBytes >> 20));
  }
  if (device.base < boot.ram_bytes) {
    return std::unexpected(fmt::format("RAM ends at {:#x}, and devices are above it", boot.ram_bytes));
  }
  if (device.open && (device.base | device.bytes) % kPageSize != 0) {
    return std::unexpected("what is opened to ring 3 begins and ends with a page of 4,096 bytes (or open = false)");
  }
  return free_of(device, kTakenMemory);
}

std::expected<void, std::string> check_ports(DeviceSpec const& device) {
  constexpr u64 kPorts = 0x1'0000;
  if (device.bytes > kPorts || device.base > kPorts - device.bytes) {
    return std::unexpected(std::string{"ports end at 0xffff"});
  }
  return free_of(device, kTakenPorts);
}

std::expected<void, std::string> check_flash(DeviceSpec const& flash) {
  if ((flash.base | flash.bytes) % kBlockBytes != 0 || flash.bytes < 8 * kBlockBytes ||
      flash.bytes % (2 * kBlockBytes) != 0) {
    return std::unexpected("a flash has an even number of blocks of 4,096 bytes, at least 8");
  }
  if (flash.base < kFlashLowest || flash.base + flash.bytes > kRomLowest) {
    return std::unexpected(fmt::format("the flash lies between {:#x} and the ROM at {:#x}", kFlashLowest, kRomLowest));
  }
  if (flash.content.size() > flash.bytes) {
    return std::unexpected(fmt::format("{} bytes of content in a flash of {}", flash.content.size(), flash.bytes));
  }
  return {};
}

std::expected<void, std::string> check_registers(DeviceSpec const& device) {
  for (auto one = device.registers.begin(); one != device.registers.end(); ++one) {
    Range const range{one->at, one->width};
    if (!Range{0, device.bytes}.contains(range)) {
      return std::unexpected(fmt::format("the register at {:#x} is not inside its {:#x} bytes", one->at, device.bytes));
    }
    auto const over = std::find_if(device.registers.begin(), one,
                                   [&](DeviceRegister const& r) { return Range{r.at, r.width}.overlaps(range); });
    if (over != one) {
      return std::unexpected(fmt::format("the registers at {:#x} and {:#x} overlap", over->at, one->at));
    }
  }
  return {};
}

}  // namespace

std::expected<void, std::string> check_device(DeviceSpec const& device, std::vector<DeviceSpec> const& before,
                                              abi::BootConfig const& boot) {
  if (device.bytes == 0) {
    return std::unexpected(std::string{"it has no bytes"});
  }
  MM_TRY(device.ports ? check_ports(device) : check_memory(device, boot));
  MM_TRY(device.kind == DeviceSpec::Kind::Flash ? check_flash(device) : check_registers(device));
  for (auto const& other : before) {
    if (other.name == device.name) {
      return std::unexpected(std::string{"another device has this name"});
    }
    if (other.kind == DeviceSpec::Kind::Flash && device.kind == DeviceSpec::Kind::Flash) {
      return std::unexpected(std::string{"the machine has one flash"});
    }
    if (other.ports == device.ports && other.range().overlaps(device.range())) {
      return std::unexpected(fmt::format("it overlaps device \"{}\"", other.name));
    }
  }
  return {};
}

Bytes device_hobs(DeviceSpec const& device) {
  Bytes out;
  if (!device.ports && device.open) {
    abi::UnblockMemoryParams params;
    params.descriptor.type = 11;  // EfiMemoryMappedIO
    params.descriptor.physical_start = device.base;
    params.descriptor.number_of_pages = device.bytes >> kPageShift;
    params.identifier = kOwner;
    append_guid_hob(out, guids::gMmSupvUnblockRegionHobGuid, params);
  }
  if (device.kind == DeviceSpec::Kind::Flash) {
    append_guid_hob(out, abi::kVariableFlashInfoHobGuid, layout_of(device));
  }
  return out;
}

Bytes empty_store(DeviceSpec const& flash) {
  constexpr Guid kNvData = "FFF12B8D-7696-4C8B-A985-2747075B4F50"_guid;  // gEfiSystemNvDataFvGuid
  Bytes out = volume_header(kNvData, flash.bytes);
  append_bytes(out, store_header(layout_of(flash).variable_bytes - out.size()));
  return out;
}

std::expected<DeviceSpec, std::string> parse_flash(std::string const& argument) {
  DeviceSpec flash;
  flash.kind = DeviceSpec::Kind::Flash;
  flash.name = "flash";
  flash.base = kFlashBase;
  auto const at = argument.rfind('@');
  std::string const what = argument.substr(0, at);
  if (what.empty()) {
    return std::unexpected(fmt::format("--flash {}: a file, or a number of bytes, is missing", argument));
  }
  if (at != std::string::npos) {
    auto const base = policy_tools::parse_number(argument.substr(at + 1));
    if (!base) {
      return std::unexpected(fmt::format("--flash {}: '{}' is no address", argument, argument.substr(at + 1)));
    }
    flash.base = *base;
  }
  if (auto const bytes = policy_tools::parse_number(what)) {
    flash.bytes = *bytes;
  } else {
    MM_TRY_ASSIGN(flash.content, read_file(what));
    flash.bytes = align_up(flash.content.size(), 2 * kBlockBytes);
  }
  if (auto const fits = check_device(flash, {}, {.ram_bytes = platform::kDefaultRamBytes}); !fits) {
    return std::unexpected(fmt::format("--flash {}: {}", argument, fits.error()));
  }
  if (flash.content.empty()) {
    flash.content = empty_store(flash);
  }
  return flash;
}

}  // namespace mm::lab
