// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <functional>
#include <string>

#include "tools/linux/comm_region.hpp"
#include "tools/linux/linux_world.hpp"

/// A normal world that keeps to no rule: what an attacker with the kernel's rights can send to MM.
namespace mm::linux_tool {

struct HostileOptions {
  CommRegion user, supervisor;
  double seconds = 10;
  u64 seed = 1;
};

struct HostileCount {
  u64 mmis = 0;       ///< raised with whatever the buffers held
  u64 answered = 0;   ///< messages in order, in between, that got their answer
  u64 pokes = 0;      ///< accesses to chipset registers
  u64 scribbles = 0;  ///< changes of buffers and mailboxes by a second process meanwhile; 0: it could not be started
};

/// Random buffers, mailboxes and commands, SMIs to other CPUs by the local APIC where its page can be mapped, writes of
/// locked and unlocked chipset registers around the MMI, and a second process that changes the buffers all the while;
/// after each burst x87 and SSE registers have to survive an MMI, and `in_order` sends a message by the rules. Error: a
/// sentence, when a register did not, or `in_order` gave one.
std::expected<HostileCount, std::string> be_hostile(LinuxWorld& world, HostileOptions const& options,
                                                    std::function<std::string()> const& in_order);

}  // namespace mm::linux_tool
