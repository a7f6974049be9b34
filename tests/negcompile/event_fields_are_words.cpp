// SPDX-License-Identifier: BSD-2-Clause-Patent
// An event whose fields are not those that its row names cannot be told.
#include "hal/roles/trace.hpp"

struct Event {
  static constexpr auto kKind = mm::hal::TraceKind::Rendezvous;
  static constexpr char const* kName = "Rendezvous";
  static constexpr std::array kFields{mm::hal::Field{"arrived", mm::hal::Form::Number},
                                      mm::hal::Field{"expected", mm::hal::Form::Number}};
  mm::u64 arrived = 0;
#ifdef MM_MISUSE
  mm::u64 expected = 0, more = 0;
#else
  mm::u64 expected = 0;
#endif
};

inline constexpr mm::hal::TraceEvent kEvent = mm::hal::pack(Event{}, 0, 0);
