// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/objects.hpp"

namespace mm::user {

/// Handlers of the core itself: the events of the boot (core/user/RING3.md 3.1).
enum class CoreHandler : u8 { None = 0, Dispatch, EndOfPei, EndOfDxe, ReadyToLock, ReadyToBoot, ExitBootServices };

struct MmiEntry;

/// One registration. `core` is not None for a handler of the core; then `function` is null.
struct MmiHandler {
  TreeHook in_entry, in_all;
  Handle handle = 0;
  MmiEntry* entry = nullptr;
  MmiHandler* next_removed = nullptr;
  bool removed = false;  ///< unregistered while a dispatch runs: still called by it, deleted after it
  bool dead = false;     ///< its driver was contained: never called again
  CoreHandler core = CoreHandler::None;
  MmiHandlerFn function = nullptr;
  u64 owner = 0;  ///< image base, 0 is the core
};
struct HandleOf {
  using type = Handle;
  Handle operator()(MmiHandler const& record) const noexcept { return record.handle; }
};
/// The handlers of one GUID, or the root handlers.
struct MmiEntry {
  TreeHook hook;
  Guid type;
  Tree<MmiHandler, &MmiHandler::in_entry, HandleOf> handlers;  ///< registration order
};

/// MMI handlers and their dispatch with the status rules of edk2 and C (core/user/RING3.md 1.3). Finding
/// the handlers of a GUID among n takes log n steps.
template <Ring3 R>
class MmiDatabase {
 public:
  explicit MmiDatabase(Pool<R>& pool) noexcept : pool_(pool) {}

  /// InvalidParameter: null pointer. OutOfResources. `type` null registers a root handler. Duplicates are allowed.
  Status add(MmiHandlerFn function, Guid const* type, Handle* dispatch, u64 owner) noexcept {
    if (function == nullptr || dispatch == nullptr) {
      return Status::InvalidParameter;
    }
    auto const made = append(type);
    if (!made.has_value()) {
      return made.error();
    }
    (*made)->function = function;
    (*made)->owner = owner;
    *dispatch = (*made)->handle;
    return Status::Success;
  }

  /// OutOfResources.
  Status add_core(CoreHandler core, Guid const& type) noexcept {
    auto const made = append(&type);
    if (!made.has_value()) {
      return made.error();
    }
    (*made)->core = core;
    return Status::Success;
  }

  /// InvalidParameter: unknown handle, or one of the core's own.
  Status remove(Handle dispatch) noexcept {
    auto const it = all_.find(dispatch);
    if (it == all_.end() || it->core != CoreHandler::None || it->dead) {
      return Status::InvalidParameter;
    }
    mark(*it);
    purge();
    return Status::Success;
  }

  void remove_core(CoreHandler core) noexcept {
    for (MmiHandler& record : all_) {
      if (record.core == core) {
        mark(record);
      }
    }
    purge();
  }

  /// Forgets every handler of one image, at once.
  void remove_owner(u64 owner) noexcept {
    for (MmiHandler& record : all_) {
      if (record.owner == owner && record.core == CoreHandler::None) {
        record.dead = true;
        mark(record);
      }
    }
    purge();
  }

  /// Dispatches to the handlers of `type` (null: root handlers) with a handle above `after`. `invoke(record) -> Status`
  /// calls one. A handler that is registered meanwhile runs too, one that is unregistered meanwhile still runs.
  template <typename F>
  Status manage(Guid const* type, Handle after, F&& invoke) noexcept {
    MmiEntry* const entry = type == nullptr ? &root_ : find(*type);
    if (entry == nullptr) {
      return Status::NotFound;
    }
    Status result = Status::NotFound;
    if (entry->handlers.empty()) {
      return result;
    }
    ++depth_;
    for (auto it = entry->handlers.upper_bound(after); it != entry->handlers.end(); ++it) {
      if (!it->dead && apply(invoke(*it), type == nullptr, result)) {
        break;
      }
    }
    --depth_;
    purge();
    return result;
  }

  /// Whether a root handler is registered, or was removed by the dispatch that still runs.
  bool has_root() const noexcept { return !root_.handlers.empty(); }
  u64 depth() const noexcept { return depth_; }

  /// After a fault the calls that were under way are gone.
  void abandon_dispatches() noexcept {
    depth_ = 0;
    purge();
  }

 private:
  struct TypeOf {
    using type = Guid;
    Guid const& operator()(MmiEntry const& entry) const noexcept { return entry.type; }
  };

  MmiEntry* find(Guid const& type) noexcept {
    auto const it = entries_.find(type);
    return it == entries_.end() ? nullptr : &*it;
  }
  Expected<MmiEntry*> find_or_make(Guid const* type) noexcept {
    MmiEntry* const known = type == nullptr ? &root_ : find(*type);
    if (known != nullptr) {
      return known;
    }
    MM_TRY_ASSIGN(MmiEntry* const entry, make<MmiEntry>(pool_));
    entry->type = *type;
    entries_.insert(*entry);
    return entry;
  }

  Expected<MmiHandler*> append(Guid const* type) noexcept {
    MM_TRY_ASSIGN(MmiHandler* const record, make<MmiHandler>(pool_));
    auto const entry = find_or_make(type);
    if (!entry.has_value()) {
      discard(pool_, record);
      return std::unexpected(entry.error());
    }
    record->entry = *entry;
    record->handle = ++last_handle_;
    (*entry)->handlers.insert(*record);
    all_.insert(*record);
    return record;
  }

  /// Merges the status of one handler into `result`; true ends the dispatch.
  static bool apply(Status status, bool root, Status& result) noexcept {
    bool const decided = result == Status::Success;
    if (status == Status::Success || status == Status::WarnInterruptSourceQuiesced) {
      result = Status::Success;
    } else if (status == Status::InterruptPending && !(root && decided)) {
      result = Status::InterruptPending;
    } else if (status == Status::WarnInterruptSourcePending && !decided) {
      result = Status::WarnInterruptSourcePending;
    }
    return !root && (status == Status::Success || status == Status::InterruptPending);
  }

  void mark(MmiHandler& record) noexcept {
    if (!record.removed) {
      record.removed = true;
      record.next_removed = removed_;
      removed_ = &record;
    }
  }

  /// Deletes what was unregistered, once no dispatch can stand on it.
  void purge() noexcept {
    while (depth_ == 0 && removed_ != nullptr) {
      MmiHandler& record = *removed_;
      removed_ = record.next_removed;
      MmiEntry& entry = *record.entry;
      entry.handlers.erase(entry.handlers.iterator_to(record));
      all_.erase(all_.iterator_to(record));
      discard(pool_, &record);
      if (&entry != &root_ && entry.handlers.empty()) {
        entries_.erase(entries_.iterator_to(entry));
        discard(pool_, &entry);
      }
    }
  }

  Pool<R>& pool_;
  MmiEntry root_;
  Tree<MmiEntry, &MmiEntry::hook, TypeOf> entries_;
  Tree<MmiHandler, &MmiHandler::in_all, HandleOf> all_;
  MmiHandler* removed_ = nullptr;
  u64 depth_ = 0;
  Handle last_handle_ = 0;
};

}  // namespace mm::user
