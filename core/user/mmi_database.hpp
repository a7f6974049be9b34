// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/pool.hpp"

namespace mm::user {

/// Handlers of the core itself: events of user-core-and-communication.md 9.5.
enum class CoreHandler : u8 { None = 0, Dispatch, EndOfPei, EndOfDxe, ReadyToLock, ReadyToBoot, ExitBootServices };

/// One registration. `core` is not None for a handler of the core; then `function` is null.
struct MmiHandler {
  Handle handle = 0;
  Guid type;
  bool root = false;
  bool removed = false;  ///< unregistered while a dispatch runs: still called by it, deleted after it
  bool dead = false;     ///< its driver was contained: never called again
  CoreHandler core = CoreHandler::None;
  MmiHandlerFn function = nullptr;
  u64 owner = 0;  ///< image base, 0 is the core
};

/// MMI handlers and their dispatch with the status rules of user-core-and-communication.md 1.5 (edk2 and C).
template <Ring3 R>
class MmiDatabase {
 public:
  explicit constexpr MmiDatabase(Pool<R>& pool) noexcept : handlers_(pool) {}

  /// InvalidParameter: null pointer. OutOfResources. `type` null registers a root handler. Duplicates are allowed.
  Status add(MmiHandlerFn function, Guid const* type, Handle* dispatch, u64 owner) noexcept {
    if (function == nullptr || dispatch == nullptr) {
      return Status::InvalidParameter;
    }
    MmiHandler record;
    record.function = function;
    record.owner = owner;
    record.root = type == nullptr;
    if (type != nullptr) {
      record.type = *type;
    }
    return append(record, dispatch);
  }

  Status add_core(CoreHandler core, Guid const& type) noexcept {
    MmiHandler record;
    record.core = core;
    record.type = type;
    Handle ignored = 0;
    return append(record, &ignored);
  }

  /// InvalidParameter: unknown handle, or one of the core's own.
  Status remove(Handle dispatch) noexcept {
    for (MmiHandler& record : handlers_) {
      if (record.handle == dispatch && record.core == CoreHandler::None && !record.dead) {
        mark_removed(record);
        purge();
        return Status::Success;
      }
    }
    return Status::InvalidParameter;
  }

  void remove_core(CoreHandler core) noexcept {
    for (MmiHandler& record : handlers_) {
      if (record.core == core) {
        mark_removed(record);
      }
    }
    purge();
  }

  /// Forgets every handler of one image, at once.
  void remove_owner(u64 owner) noexcept {
    for (MmiHandler& record : handlers_) {
      if (record.owner == owner && record.core == CoreHandler::None) {
        mark_removed(record);
        record.dead = true;
      }
    }
    purge();
  }

  /// Dispatches to the handlers of `type` (null: root handlers) with a handle above `after`. `invoke(record) -> Status`
  /// calls one.
  template <typename F>
  Status manage(Guid const* type, Handle after, F&& invoke) noexcept {
    bool const root = type == nullptr;
    Guid const wanted = root ? Guid{} : *type;
    Status result = Status::NotFound;
    if (root && roots_ == 0) {
      return result;
    }
    ++depth_;
    for (u64 i = 0; i < handlers_.size(); ++i) {
      MmiHandler const& candidate = handlers_[i];
      if (candidate.root != root || (!root && candidate.type != wanted) || candidate.dead ||
          candidate.handle <= after) {
        continue;
      }
      MmiHandler const record = candidate;  // a handler may register others, and the records move
      if (apply(invoke(record), root, result)) {
        break;
      }
    }
    --depth_;
    purge();
    return result;
  }

  /// Whether a root handler is registered, or was removed by the dispatch that still runs.
  bool has_root() const noexcept { return roots_ != 0; }
  u64 depth() const noexcept { return depth_; }
  u64 count() const noexcept { return handlers_.size(); }

  /// After a fault the calls that were under way are gone.
  void abandon_dispatches() noexcept {
    depth_ = 0;
    purge();
  }

 private:
  Status append(MmiHandler record, Handle* dispatch) noexcept {
    record.handle = last_handle_ + 1;
    if (!handlers_.push_back(record).has_value()) {
      return Status::OutOfResources;
    }
    *dispatch = ++last_handle_;
    roots_ += record.root ? 1u : 0u;
    return Status::Success;
  }
  void mark_removed(MmiHandler& record) noexcept {
    record.removed = true;
    to_purge_ = true;
  }

  /// Merges the status of one handler into `result`; true ends the dispatch.
  static bool apply(Status status, bool root, Status& result) noexcept {
    switch (status) {
      case Status::Success:
        result = Status::Success;
        return !root;
      case Status::InterruptPending:
        if (!root || result != Status::Success) {
          result = Status::InterruptPending;
        }
        return !root;
      case Status::WarnInterruptSourceQuiesced:
        result = Status::Success;
        return false;
      case Status::WarnInterruptSourcePending:
        if (result != Status::Success) {
          result = Status::WarnInterruptSourcePending;
        }
        return false;
      default:
        return false;
    }
  }

  void purge() noexcept {
    if (depth_ == 0 && to_purge_) {
      to_purge_ = false;
      handlers_.erase_if([this](MmiHandler const& record) {
        roots_ -= record.removed && record.root ? 1u : 0u;
        return record.removed;
      });
    }
  }

  PoolVector<MmiHandler, R> handlers_;  ///< registration order, ascending handles
  u64 depth_ = 0;
  Handle last_handle_ = 0;
  u64 roots_ = 0;          ///< root handlers among them
  bool to_purge_ = false;  ///< one of them is marked removed
};

}  // namespace mm::user
