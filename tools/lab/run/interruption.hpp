// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <sys/types.h>

/// What SIGINT and SIGTERM do while scenarios run: emulators end, and the program tells what there is. One at a time in
/// a process; every thread may ask and note.
namespace mm::lab {

/// Takes both signals over as long as it lives. The first one kills every noted child; the second ends the program at
/// once with 128 + its number.
class Interruption {
 public:
  Interruption() noexcept;
  ~Interruption();
  Interruption(Interruption const&) = delete;
  Interruption& operator=(Interruption const&) = delete;

  /// The signal that came; 0: none.
  static int signal() noexcept;
};

/// `pid` is a child that must not outlive the program. When a signal came already it is killed now.
void note_child(pid_t pid) noexcept;
/// Before it is reaped: afterwards its number may be somebody else's.
void forget_child(pid_t pid) noexcept;

}  // namespace mm::lab
