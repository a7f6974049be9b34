// SPDX-License-Identifier: BSD-2-Clause-Patent
// Composition root of MmUserCore.efi: the one place of the image that owns an object.

#include <array>
#include <cstddef>
#include <new>

#include "core/user/mmst_thunks.hpp"

extern "C" {
/// SYSCALL with RAX = index and RDX, R8, R9 (entry.nasm).
mm::u64 mm_user_syscall(mm::u64 index, mm::u64 a, mm::u64 b, mm::u64 c) noexcept;
/// Calls a driver entry point so that both flavours return (entry.nasm).
mm::u64 mm_user_call_driver(mm::u64 entry, mm::u64 image_handle, mm::u64 mmst) noexcept;
mm::u64 user_core_main(mm::u64 command, mm::u64 a, mm::u64 b) noexcept;
}

namespace {

struct HardwareRing3 {
  static mm::u64 syscall(mm::u64 index, mm::u64 a, mm::u64 b, mm::u64 c) noexcept {
    return mm_user_syscall(index, a, b, c);
  }
  static mm::u64 call_driver(mm::u64 entry, mm::u64 image_handle, mm::u64 mmst) noexcept {
    return mm_user_call_driver(entry, image_handle, mmst);
  }
};

struct Site;
using Thunks = mm::user::MmstThunks<Site>;
using Core = mm::user::UserCore<HardwareRing3>;

/// The core is made by the first StartUserCore: its trees cannot be constant-initialised.
struct Root {
  HardwareRing3 ring3;
  mm::user::CoreProtocols protocols;
  Core* core = nullptr;
  alignas(Core) std::array<std::byte, sizeof(Core)> storage{};
};
constinit Root root;

struct Site {
  static Core* core() noexcept { return root.core; }
  static Core& start() noexcept {
    if (root.core == nullptr) {
      root.core = new (root.storage.data()) Core{root.ring3};
    }
    return *root.core;
  }
  static mm::user::CoreProtocols* protocols() noexcept {
    root.protocols = Thunks::core_protocols();
    return &root.protocols;
  }
};

}  // namespace

mm::u64 user_core_main(mm::u64 command, mm::u64 a, mm::u64 b) noexcept {
  return static_cast<mm::u64>(Thunks::command(command, a, b));
}
