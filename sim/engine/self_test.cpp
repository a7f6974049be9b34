// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <array>
#include <string>
#include <vector>

#include "sim/engine/engine.hpp"
#include "sim/engine/scratch_guest.hpp"

namespace mm::sim {
namespace {

using G = ScratchGuest;

struct Case {
  char const* name;
  std::vector<u8> code;
  u64 rax;
  EngineStop stop;
  u64 vector;
  u64 error_code;
  u64 rip;  ///< offset from the code page, or an absolute address
  u64 cr2;
};

std::vector<Case> cases() {
  using enum EngineStop;
  return {
      {"SYSCALL", {0x90, 0x0F, 0x05}, 0, Syscall, 0, 0, 3, 0},
      {"read of an absent page", {0x90, 0x8A, 0x08}, G::kAbsent + 5, Fault, 14, 4, 1, G::kAbsent + 5},
      {"write of an absent page", {0x90, 0x88, 0x08}, G::kAbsent + 5, Fault, 14, 6, 1, G::kAbsent + 5},
      {"write of a read-only page", {0x88, 0x08}, G::kReadOnly, Fault, 14, 7, 0, G::kReadOnly},
      {"read of a supervisor page", {0x8A, 0x08}, G::kSupervisor, Fault, 14, 5, 0, G::kSupervisor},
      {"fetch from an absent page", {0xFF, 0xE0}, G::kAbsent, Fault, 14, 0x14, G::kAbsent, G::kAbsent},
      {"fetch from a data page", {0xFF, 0xE0}, G::kData, Fault, 14, 0x15, G::kData, G::kData},
      {"write of the own code", {0x88, 0x08}, G::kCode, Fault, 14, 7, 0, G::kCode},
      {"OUT", {0x90, 0xE6, 0x80, 0xFE, 0x00}, G::kData, Fault, 13, 0, 1, 0},
      {"IN", {0x90, 0xE4, 0x80, 0xFE, 0x00}, G::kData, Fault, 13, 0, 1, 0},
      {"INSB to an absent page", {0x90, 0x6C}, 0, Fault, 13, 0, 1, 0},
      {"SYSENTER", {0x90, 0x0F, 0x34, 0xFE, 0x00}, G::kData, Fault, 13, 0, 1, 0},
      {"HLT", {0x90, 0xF4}, 0, Fault, 13, 0, 1, 0},
      {"CLI", {0x90, 0xFA}, 0, Fault, 13, 0, 1, 0},
      {"RDMSR", {0x90, 0x0F, 0x32}, 0, Fault, 13, 0, 1, 0},
      {"UD2", {0x90, 0x0F, 0x0B}, 0, Fault, 6, 0, 1, 0},
      {"RSM", {0x90, 0x0F, 0xAA}, 0, Rsm, 0, 0, 1, 0},
      {"DIV by zero", {0x90, 0x31, 0xC9, 0xF7, 0xF1}, 0, Fault, 0, 0, 3, 0},
      {"INT3", {0x90, 0xCC}, 0, Fault, 13, 3 * 8 + 2, 1, 0},
      {"INT 14", {0x90, 0xCD, 0x0E}, 0, Fault, 13, 14 * 8 + 2, 1, 0},
      {"LOCK BTS of a register", {0x90, 0xF0, 0x0F, 0xAB, 0xC8}, 0, Fault, 6, 0, 1, 0},
  };
}

std::expected<void, std::string> run_case(Case const& c) {
  G guest;
  u64 at = G::kCode;
  for (u8 b : c.code) {
    guest.code({b}, at++);
  }
  guest.code({0x0F, 0x05}, at);
  auto engine = guest.engine();
  if (!engine.has_value()) {
    return std::unexpected(engine.error());
  }
  (*engine)->flush_code();
  u64 const rip = c.rip < 0x100 ? G::kCode + c.rip : c.rip;
  // Twice: the second time shows that no exception state is left behind.
  for (int round = 0; round < 2; ++round) {
    auto user = G::context();
    user.rax = c.rax;
    user.r13 = 0x1122334455667788;
    EngineExit const exit = (*engine)->run(user);
    if (exit.stop != c.stop || exit.vector != c.vector || exit.error_code != c.error_code || exit.cr2 != c.cr2 ||
        user.rip != rip || user.r13 != 0x1122334455667788 || user.rsp != G::kStackTop - 0x100 ||
        guest.get(G::kData) != 0) {
      return std::unexpected(std::string("simulator engine self-test: ") + c.name + ": stop " +
                             std::to_string(static_cast<u64>(exit.stop)) + " vector " + std::to_string(exit.vector) +
                             " error " + std::to_string(exit.error_code) + " rip " + std::to_string(user.rip) +
                             " cr2 " + std::to_string(exit.cr2) + " round " + std::to_string(round));
    }
  }
  return {};
}

}  // namespace

std::expected<void, std::string> engine_self_test() {
  for (Case const& c : cases()) {
    if (auto result = run_case(c); !result.has_value()) {
      return result;
    }
  }
  return {};
}

}  // namespace mm::sim
