// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <semaphore>
#include <thread>

#include "hal/fake/machine.hpp"

namespace mm::test {

/// Two CPUs of which one runs at a time: they change places where they pause.
class Turns {
 public:
  Turns(fake::Cpu& first, fake::Cpu& second) {
    first.on_pause = [this] { second_.release(), first_.acquire(); };
    second.on_pause = [this] { first_.release(), second_.acquire(); };
  }

  /// Runs both to their ends; the first one begins.
  template <typename F, typename G>
  void run(F&& first, G&& second) {
    bool done = false;
    std::thread other([&] {
      second_.acquire();
      second();
      done = true;
      first_.release();
    });
    first();
    while (!done) {
      second_.release();
      first_.acquire();
    }
    other.join();
    while (first_.try_acquire() || second_.try_acquire()) {
    }
  }

 private:
  std::counting_semaphore<16> first_{0}, second_{0};
};

}  // namespace mm::test
