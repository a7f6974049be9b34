// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <array>

#include "sim/engine/engine_impl.hpp"

namespace mm::sim {

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

}  // namespace mm::sim
