// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"

/// What the dispatch protocols of PI 1.8 vol. 4 chapter 6 have in common: functions that drivers register with a
/// context, and that are called when something happens.
namespace platform_driver {

using mm::Guid;
using mm::Status;
using mm::u32;
using mm::u64;
using mm::u8;
using mm::driver::Handle;
using mm::driver::MmSystemTable;

/// EFI_MM_HANDLER_ENTRY_POINT: `context` is what was registered, and may have more behind it; `buffer` what the
/// protocol hands over.
using DispatchFn = Status(MM_EFIAPI*)(Handle dispatch, void const* context, void* buffer, u64* size);

/// The functions that are registered with one protocol, in order of registration. A function may register and
/// unregister others, and itself, while it is called.
template <typename Context>
class Children {
 public:
  struct Child {
    Child* next = nullptr;
    DispatchFn function = nullptr;
    Context context{};
    bool removed = false;
  };

  /// OutOfResources.
  Status add(MmSystemTable& mmst, DispatchFn function, Context const& context, Handle* dispatch) noexcept {
    void* memory = nullptr;
    if (Status const status = mmst.allocate_pool(mm::user::kRuntimeServicesData, sizeof(Child), &memory);
        status != Status::Success) {
      return status;
    }
    auto* const child = static_cast<Child*>(memory);
    *child = {nullptr, function, context, false};
    Child** last = &first_;
    while (*last != nullptr) {
      last = &(*last)->next;
    }
    *last = child;
    *dispatch = mm::user::address_of(child);
    return Status::Success;
  }

  /// InvalidParameter: nobody has this handle.
  Status remove(MmSystemTable& mmst, Handle dispatch) noexcept {
    for (Child* child = first_; child != nullptr; child = child->next) {
      if (mm::user::address_of(child) == dispatch && !child->removed) {
        child->removed = true;
        purge(mmst);
        return Status::Success;
      }
    }
    return Status::InvalidParameter;
  }

  /// Whether a function is registered with a context that `wanted` says yes to.
  template <typename F>
  bool any(F&& wanted) noexcept {
    for (Child* child = first_; child != nullptr; child = child->next) {
      if (!child->removed && wanted(child->context)) {
        return true;
      }
    }
    return false;
  }

  /// Calls each function that `wanted(child)` says yes to, with `buffer`: how many there were.
  template <typename F>
  u32 call(MmSystemTable& mmst, F&& wanted, void* buffer = nullptr, u64 bytes = 0) noexcept {
    u32 called = 0;
    ++depth_;
    for (Child* child = first_; child != nullptr; child = child->next) {
      if (!child->removed && wanted(*child)) {
        u64 size = bytes;
        child->function(mm::user::address_of(child), &child->context, buffer, buffer == nullptr ? nullptr : &size);
        ++called;
      }
    }
    --depth_;
    purge(mmst);
    return called;
  }

 private:
  /// Frees what is removed, when nobody walks the list.
  void purge(MmSystemTable& mmst) noexcept {
    for (Child** at = &first_; depth_ == 0 && *at != nullptr;) {
      Child* const child = *at;
      if (child->removed) {
        *at = child->next;
        mmst.free_pool(child);
      } else {
        at = &child->next;
      }
    }
  }

  Child* first_ = nullptr;
  u32 depth_ = 0;
};

}  // namespace platform_driver
