// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/fiber.hpp"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define MM_ASAN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MM_ASAN_FIBERS 1
#endif
#endif
#ifdef MM_ASAN_FIBERS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mm::sim {
namespace {
namespace context = boost::context::detail;
constexpr std::size_t kStackBytes = 512u << 10;
constexpr std::size_t kGuardBytes = 4096;

void before_switch([[maybe_unused]] void** save, [[maybe_unused]] void const* bottom,
                   [[maybe_unused]] std::size_t size) {
#ifdef MM_ASAN_FIBERS
  __sanitizer_start_switch_fiber(save, bottom, size);
#endif
}
void after_switch([[maybe_unused]] void* saved, [[maybe_unused]] void const** bottom,
                  [[maybe_unused]] std::size_t* size) {
#ifdef MM_ASAN_FIBERS
  __sanitizer_finish_switch_fiber(saved, bottom, size);
#endif
}
}  // namespace

struct Fiber::Trampoline {
  static void run(context::transfer_t from) {
    auto& fiber = *static_cast<Fiber*>(from.data);
    after_switch(nullptr, &fiber.scheduler_bottom_, &fiber.scheduler_size_);
    fiber.scheduler_ = from.fctx;
    fiber.body_(fiber.argument_);
    for (;;) {
      fiber.suspend();
    }
  }
};

Fiber::~Fiber() {
  retire();
  if (stack_ != nullptr) {
    munmap(stack_, kStackBytes + kGuardBytes);
  }
}

bool Fiber::start(Body body, void* argument) noexcept {
  if (stack_ == nullptr) {
    void* memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return false;
    }
    stack_ = static_cast<std::byte*>(memory);
    mprotect(stack_, kGuardBytes, PROT_NONE);
  }
  retire();
#ifdef MM_ASAN_FIBERS
  ASAN_UNPOISON_MEMORY_REGION(stack_ + kGuardBytes, kStackBytes);
#endif
  body_ = body;
  argument_ = argument;
  fiber_fake_stack_ = nullptr;
  context_ = context::make_fcontext(stack_ + kGuardBytes + kStackBytes, kStackBytes, &Trampoline::run);
  return true;
}

/// AddressSanitizer keeps a shadow stack for a suspended fiber, which only a last switch out of the fiber gives back.
void Fiber::retire() noexcept {
  if (fiber_fake_stack_ != nullptr) {
    retiring_ = true;
    resume();
    retiring_ = false;
    fiber_fake_stack_ = nullptr;
  }
}

void Fiber::resume() noexcept {
  void* fake = nullptr;
  before_switch(&fake, stack_ + kGuardBytes, kStackBytes);
  context::transfer_t const back = context::jump_fcontext(context_, this);
  after_switch(fake, nullptr, nullptr);
  context_ = back.fctx;
}

void Fiber::suspend() noexcept {
  before_switch(&fiber_fake_stack_, scheduler_bottom_, scheduler_size_);
  context::transfer_t const back = context::jump_fcontext(scheduler_, this);
  after_switch(fiber_fake_stack_, &scheduler_bottom_, &scheduler_size_);
  scheduler_ = back.fctx;
  if (retiring_) {
    before_switch(nullptr, scheduler_bottom_, scheduler_size_);
    context::jump_fcontext(scheduler_, this);
  }
}

}  // namespace mm::sim
