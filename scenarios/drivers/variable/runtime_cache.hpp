// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/variable/message.hpp"
#include "scenarios/drivers/variable/store.hpp"

namespace mm::variable {

/// Copies of both stores in memory of the normal world, from which a runtime driver reads without an MMI. Each buffer
/// was unblocked and is held against that before it is touched. The normal world may write to it at any time: it can
/// only spoil its own copy, because nothing is read back but the two flags.
class RuntimeCache {
 public:
  /// AccessDenied: a buffer is missing, not unblocked, or smaller than its store.
  Status init(CacheContext const& context, Store const& non_volatile, Store const& volatile_store) noexcept {
    if (!usable(context.read_lock, 1) || !usable(context.pending_update, 1) || !usable(context.hob_flush_complete, 1) ||
        !holds(context.non_volatile_cache, non_volatile.bank_bytes()) ||
        !holds(context.volatile_cache, volatile_store.bank_bytes()) ||
        (context.hob_cache != 0 && !holds(context.hob_cache, sizeof(StoreHeader)))) {
      return Status::AccessDenied;
    }
    context_ = context;
    non_volatile_ = {context.non_volatile_cache, non_volatile.bank_bytes()};
    volatile_ = {context.volatile_cache, volatile_store.bank_bytes()};
    set_flag(context_.pending_update, true);
    set_flag(context_.read_lock, false);
    set_flag(context_.hob_flush_complete, false);
    return Status::Success;
  }

  /// Brings the copies up to date when something is pending. Unsupported: there is no cache.
  Status sync(Store const& non_volatile, Store const& volatile_store) noexcept {
    if (context_.pending_update == 0) {
      return Status::Unsupported;
    }
    if (flag(context_.pending_update)) {
      copy(non_volatile_, non_volatile);
      copy(volatile_, volatile_store);
      set_flag(context_.pending_update, false);
    }
    return Status::Success;
  }
  /// A store changed: copied at once, or later when a reader holds the lock.
  void changed(Store const& non_volatile, Store const& volatile_store) noexcept {
    if (context_.pending_update == 0) {
      return;
    }
    set_flag(context_.pending_update, true);
    if (!flag(context_.read_lock)) {
      sync(non_volatile, volatile_store);
    }
  }

 private:
  /// One copy: `used` bytes of it may differ from 0xFF.
  struct Copy {
    u64 base = 0;
    u64 used = 0;
  };

  static bool usable(u64 address, u64 bytes) noexcept {
    return driver::syscall(abi::Syscall::MmUnblocked, address, bytes) == 1;
  }
  /// The size in the buffer's header is what its owner allocated; read once.
  static bool holds(u64 address, u64 bytes) noexcept {
    if (!usable(address, sizeof(StoreHeader))) {
      return false;
    }
    u64 const size = driver::get<u32>(driver::at<void>(address), offsetof(StoreHeader, size));
    return size >= bytes && usable(address, size);
  }
  static bool flag(u64 address) noexcept { return *driver::at<u8 const volatile>(address) != 0; }
  static void set_flag(u64 address, bool value) noexcept { *driver::at<u8 volatile>(address) = value ? 1 : 0; }

  static void copy(Copy& copy, Store const& store) noexcept {
    auto const image = store.image();
    auto* const to = driver::at<u8>(copy.base);
    __builtin_memcpy(to, image.data(), image.size());
    if (copy.used > image.size()) {
      __builtin_memset(to + image.size(), 0xFF, copy.used - image.size());
    }
    copy.used = image.size();
  }

  CacheContext context_;
  Copy non_volatile_;
  Copy volatile_;
};

}  // namespace mm::variable
