// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/address_space.hpp"
#include "core/supervisor/channels.hpp"
#include "core/supervisor/gate.hpp"
#include "core/supervisor/processors.hpp"
#include "core/supervisor/requests.hpp"
#include "core/supervisor/ring3.hpp"
#include "core/supervisor/save_state_reads.hpp"

namespace mm::supervisor {

/// All state of the supervisor. Each part owns its own, knows no other part but those that a call hands it, and keeps
/// no pointer to any: the whole may be copied byte by byte.
template <hal::Machine M>
struct Parts {
  Processors<M> processors;
  Channels<M> channels;
  AddressSpace<M> space;
  Gate<M> gate;
  SaveStateReads<M> save_state;
  Ring3<M> ring3;
  Requests<M> requests;
};

}  // namespace mm::supervisor
