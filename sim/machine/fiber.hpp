// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>

namespace mm::sim {

/// A stackful context on a stack of its own with a guard page below. Everything runs on one host thread; the caller of
/// resume() is the scheduler. Switches are announced to AddressSanitizer.
class Fiber {
 public:
  using Body = void (*)(void* argument);

  Fiber() noexcept = default;
  ~Fiber();
  Fiber(Fiber const&) = delete;
  Fiber& operator=(Fiber const&) = delete;

  /// Makes the fiber start `body` at the next resume(). What it was doing before is abandoned without unwinding.
  /// Not from the fiber itself. False when there is no memory for the stack.
  bool start(Body body, void* argument) noexcept;
  /// Scheduler: runs the fiber until it suspends.
  void resume() noexcept;
  /// Fiber: back to the scheduler.
  void suspend() noexcept;

 private:
  struct Trampoline;
  void retire() noexcept;
  std::byte* stack_ = nullptr;
  void* context_ = nullptr;    ///< of this fiber while the scheduler runs
  void* scheduler_ = nullptr;  ///< of the scheduler while this fiber runs
  Body body_ = nullptr;
  void* argument_ = nullptr;
  void* fiber_fake_stack_ = nullptr;
  void const* scheduler_bottom_ = nullptr;
  std::size_t scheduler_size_ = 0;
  bool retiring_ = false;
};

}  // namespace mm::sim
