// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/qemu_rom/linux.hpp"

#include "core/abi/platform.hpp"
#include "hal/bare/instructions.hpp"
#include "hal/qemu_rom/acpi_tables.hpp"
#include "hal/qemu_rom/layout.hpp"

namespace mm::rom {
namespace {

// Keys of the configuration device (QEMU include/standard-headers/linux/qemu_fw_cfg.h): the size, then the data.
constexpr u16 kKernelSize = 0x08, kKernelData = 0x11;
constexpr u16 kInitrdSize = 0x0B, kInitrdData = 0x12;
constexpr u16 kCommandLineSize = 0x14, kCommandLineData = 0x15;
constexpr u16 kSetupSize = 0x17, kSetupData = 0x18;

constexpr u64 kBootParams = 0x1'0000;
constexpr u64 kCommandLine = 0x1'1000;
constexpr u64 kCommandLineLimit = 0x1000;
constexpr u64 kSetup = 0x2'0000;
constexpr u64 kSetupLimit = 0x1'0000;
constexpr u64 kKernel = 0x0800'0000;  ///< behind everything of the platform's
constexpr u64 kAcpiBytes = 0x10'0000;
constexpr u64 kRomWorkBytes = 0x20'0000;
constexpr u64 kMmConfig = 0xB000'0000, kMmConfigBytes = 0x1000'0000;

// Offsets in boot_params; the setup header, from 0x1F1, stands at the same place in the kernel file.
constexpr u64 kRsdp = 0x070, kMemoryMapEntries = 0x1E8, kHeader = 0x1F1, kHeaderJump = 0x201, kSignature = 0x202;
constexpr u64 kVersion = 0x206, kTypeOfLoader = 0x210, kRamdiskImage = 0x218, kRamdiskSize = 0x21C;
constexpr u64 kCommandLinePointer = 0x228, kLoadFlags = 0x236, kInitBytes = 0x260, kMemoryMap = 0x2D0;
constexpr u32 kHdrS = 0x5372'6448;
constexpr u16 kVersionWithInitBytes = 0x20A;
constexpr u16 kKernel64 = 1, kEntry64 = 0x200;
constexpr u8 kUndefinedLoader = 0xFF;

enum class MemoryType : u32 { Ram = 1, Reserved = 2, Acpi = 3 };

extern "C" [[noreturn]] void rom_enter_linux(u64 entry, u64 boot_params) noexcept;

template <typename T>
T get(u64 at) noexcept {
  T value;
  __builtin_memcpy(&value, reinterpret_cast<void const*>(at), sizeof value);
  return value;
}
template <typename T>
void put(u64 at, T value) noexcept {
  __builtin_memcpy(reinterpret_cast<void*>(at), &value, sizeof value);
}

u32 size_under(u16 key) noexcept {
  u32 size = 0;
  return read_file({key, sizeof size}, std::as_writable_bytes(std::span<u32, 1>{&size, 1})) ? size : 0;
}
bool read_data(u16 key, u64 at, u64 bytes) noexcept {
  return bytes == 0 || read_file({key, static_cast<u32>(bytes)}, memory(at, bytes));
}

struct Device {
  static std::optional<FwCfgFile> find(char const* name) noexcept { return find_file(name); }
  static bool read(FwCfgFile file, std::span<std::byte> to) noexcept { return read_file(file, to); }
};

/// The memory map that the kernel is told, in boot_params.
class MemoryMap {
 public:
  void add(u64 from, u64 to, MemoryType type) noexcept {
    u64 const entry = kBootParams + kMemoryMap + count_ * 20u;
    put(entry, from);
    put(entry + 8, to - from);
    put(entry + 16, type);
    put(kBootParams + kMemoryMapEntries, ++count_);
  }

 private:
  u8 count_ = 0;
};

void describe_memory(u64 acpi, u64 tseg, u64 ram_bytes) noexcept {
  MemoryMap map;
  map.add(0, 0xA'0000, MemoryType::Ram);
  map.add(0x10'0000, platform::kUserCommBuffer, MemoryType::Ram);
  map.add(platform::kUserCommBuffer, platform::kBootHobList, MemoryType::Reserved);
  map.add(platform::kBootHobList, platform::kRomWork, MemoryType::Ram);
  map.add(platform::kRomWork, platform::kRomWork + kRomWorkBytes, MemoryType::Reserved);
  map.add(platform::kRomWork + kRomWorkBytes, acpi, MemoryType::Ram);
  map.add(acpi, tseg, MemoryType::Acpi);
  map.add(tseg, ram_bytes, MemoryType::Reserved);
  map.add(kMmConfig, kMmConfig + kMmConfigBytes, MemoryType::Reserved);
}

/// Text at the end of the command line.
class CommandLine {
 public:
  explicit CommandLine(u64 used) noexcept : at_(kCommandLine + used) {}
  void text(char const* from) noexcept {
    for (; *from != 0; ++from) {
      put(at_++, *from);
    }
    put(at_, '\0');
  }
  void hex(u64 value) noexcept {
    char digits[] = "0x00000000";
    for (std::size_t i = 9; i >= 2; --i, value >>= 4) {
      digits[i] = "0123456789abcdef"[value & 15];
    }
    text(digits);
  }
  void buffer(char const* name, u64 address, u64 mailbox) noexcept {
    text(name);
    hex(address);
    text(",");
    hex(platform::kCommPages);
    text(",");
    hex(mailbox);
  }

 private:
  u64 at_;
};

char const* read_command_line() noexcept {
  constexpr u64 kOwn = 128;  // what is added here
  u64 const given = size_under(kCommandLineSize);
  if (given > kCommandLineLimit - kOwn || !read_data(kCommandLineData, kCommandLine, given)) {
    return "the kernel's command line is too long, or cannot be read";
  }
  CommandLine line{given == 0 ? 0 : given - 1};
  line.buffer(" mm_comm.user=", platform::kUserCommBuffer, platform::kUserCommStatus);
  line.buffer(" mm_comm.supervisor=", platform::kSupervisorCommBuffer, platform::kSupervisorCommStatus);
  put(kBootParams + kCommandLinePointer, static_cast<u32>(kCommandLine));
  return nullptr;
}

/// The setup header into boot_params; says what keeps this file from being started.
char const* read_setup() noexcept {
  u64 const bytes = size_under(kSetupSize);
  if (bytes < 0x268 || bytes > kSetupLimit || !read_data(kSetupData, kSetup, bytes)) {
    return "the kernel has no setup code, or it cannot be read";
  }
  if (get<u32>(kSetup + kSignature) != kHdrS || get<u16>(kSetup + kVersion) < kVersionWithInitBytes ||
      (get<u16>(kSetup + kLoadFlags) & kKernel64) == 0) {
    return "the kernel is no bzImage with a 64-bit entry";
  }
  u64 const end = kSignature + get<u8>(kSetup + kHeaderJump);
  bare::zero_bytes(kBootParams, kPageSize);
  bare::copy_bytes(kBootParams + kHeader, kSetup + kHeader, end - kHeader);
  put(kBootParams + kTypeOfLoader, kUndefinedLoader);
  return nullptr;
}

/// Kernel at kKernel, initial RAM disk below `top`.
char const* read_images(u64 top) noexcept {
  u64 const kernel = size_under(kKernelSize);
  u64 const initrd = size_under(kInitrdSize);
  u64 const needed = get<u32>(kBootParams + kInitBytes);
  u64 const end = kKernel + (kernel < needed ? needed : kernel);
  u64 const disk = (top - initrd) & ~(kPageSize - 1);
  if (initrd > top || end > disk) {
    return "kernel and initial RAM disk are larger than the memory: give the machine more (ram = MiB)";
  }
  if (!read_data(kKernelData, kKernel, kernel) || !read_data(kInitrdData, disk, initrd)) {
    return "the kernel or its RAM disk cannot be read";
  }
  put(kBootParams + kRamdiskImage, static_cast<u32>(disk));
  put(kBootParams + kRamdiskSize, static_cast<u32>(initrd));
  return nullptr;
}

}  // namespace

bool has_linux() noexcept { return size_under(kKernelSize) != 0; }

char const* boot_linux(u64 ram_bytes, u64 tseg_bytes) noexcept {
  u64 const tseg = ram_bytes - tseg_bytes;
  if (tseg < kKernel + kAcpiBytes) {
    return "too little memory for Linux: give the machine more (ram = MiB)";
  }
  u64 const acpi = tseg - kAcpiBytes;
  for (auto* const part : {&read_setup, &read_command_line}) {
    if (char const* const problem = part(); problem != nullptr) {
      return problem;
    }
  }
  if (char const* const problem = read_images(acpi); problem != nullptr) {
    return problem;
  }
  Device device;
  AcpiTables<Device> tables{device, memory(acpi, kAcpiBytes)};
  if (char const* const problem = tables.place(); problem != nullptr) {
    return problem;
  }
  put(kBootParams + kRsdp, tables.rsdp());
  describe_memory(acpi, tseg, ram_bytes);
  rom_enter_linux(kKernel + kEntry64, kBootParams);
}

}  // namespace mm::rom
