// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <signal.h>
#include <sys/types.h>

/// What SIGINT and SIGTERM do while emulators run: they end, and the program removes what it made and tells what there
/// is. One takes over from another and gives back at its end; every thread may ask and note.
namespace mm::lab {

/// What the first signal does when no child is noted.
enum class WithoutChildren {
  GoOn,  ///< the program asks signal() and ends by itself
  End,   ///< the program ends at once with 128 + its number
};

/// Takes both signals over as long as it lives. The first one kills every noted child; the second ends the program at
/// once with 128 + its number.
class Interruption {
 public:
  explicit Interruption(WithoutChildren without) noexcept;
  ~Interruption();
  Interruption(Interruption const&) = delete;
  Interruption& operator=(Interruption const&) = delete;

  /// The signal that came; 0: none.
  static int signal() noexcept;

 private:
  struct sigaction old_int_;
  struct sigaction old_term_;
  WithoutChildren old_without_;
};

/// `pid` is a child that must not outlive the program. When a signal came already it is killed now.
void note_child(pid_t pid) noexcept;
/// Before it is reaped: afterwards its number may be somebody else's.
void forget_child(pid_t pid) noexcept;

}  // namespace mm::lab
