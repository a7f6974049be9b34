// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/abi/boot.hpp"
#include "core/abi/comm.hpp"
#include "core/abi/heap_guard.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/platform.hpp"
#include "core/memory/page_tables.hpp"

/// What a hand-over is held against, and what a checked one says.
namespace mm::supervisor {

/// What the hand-over is held against. None of it comes from the loader.
struct Ground {
  Range mmram;                                ///< that the chipset protects, locked; empty when it does not
  u64 code = 0;                               ///< an address inside the supervisor that runs
  u64 address_limit = memory::kAddressLimit;  ///< of the CPU, and of identity mapping
};

/// One channel as its HOB describes it.
struct ChannelFacts {
  Range buffer;
  u64 mailbox = 0;
  bool found = false;
};

/// What the boot asks for.
struct HandoverOptions : abi::TestOptions {
  bool heap_guard = false;  ///< pages of ring 3 are spread
};

/// What a checked hand-over says. Every range is where it must be, and mapped as it must be.
struct Handover {
  u64 list_bytes = 0;  ///< end marker included
  Range mmram;
  PhysAddr mmram_descriptors{};
  u64 mmram_count = 0;
  abi::PassDown pass_down;
  HandoverOptions options;
  u32 cpus = 0;
  std::array<u32, platform::kMaxCpus> apic_ids{};
  std::array<u64, platform::kMaxCpus> smbase{};
  abi::HobMemoryAllocationModule core;
  abi::HobMemoryAllocationModule user;
  u32 images = 0;                          ///< ring-3 modules, user core included
  std::array<ChannelFacts, 2> channels{};  ///< by abi::Channel
  Range mseg;                              ///< empty: none
  u64 user_region_offset = 0;              ///< payload of the user buffer's HOB, from the start of the list
};

}  // namespace mm::supervisor
