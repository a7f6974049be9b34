// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/code_kind.hpp"

#include <algorithm>
#include <array>

namespace mm::lab {

bool is_string_io(ZydisMnemonic mnemonic) {
  constexpr std::array kStringIo{ZYDIS_MNEMONIC_INSB,  ZYDIS_MNEMONIC_INSW,  ZYDIS_MNEMONIC_INSD,
                                 ZYDIS_MNEMONIC_OUTSB, ZYDIS_MNEMONIC_OUTSW, ZYDIS_MNEMONIC_OUTSD};
  return std::ranges::find(kStringIo, mnemonic) != kStringIo.end();
}

std::optional<CodeKind> code_kind(ZydisDecodedInstruction const& instruction) {
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_RSM:
      return CodeKind::Rsm;
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_WBINVD:
      return CodeKind::Policy;
    case ZYDIS_MNEMONIC_STI:
      return CodeKind::Privileged;
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
      return CodeKind::Umip;
    default:
      if (is_string_io(instruction.mnemonic)) {
        return CodeKind::Policy;
      }
      return (instruction.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) != 0 ? std::optional{CodeKind::Privileged}
                                                                        : std::nullopt;
  }
}

}  // namespace mm::lab
