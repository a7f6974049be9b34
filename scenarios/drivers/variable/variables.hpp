// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/variable/properties.hpp"
#include "scenarios/drivers/variable/runtime_cache.hpp"
#include "scenarios/drivers/variable/statistics.hpp"
#include "scenarios/drivers/variable/store.hpp"

namespace mm::variable {

/// UEFI variables: the services of UEFI 2.10, 8.2 over two stores, with the statuses of edk2's driver and in its order
/// of checks.
class Variables {
 public:
  static constexpr u64 kMaximumVariable = 8 * 1024;  ///< header, name and data of one variable

  /// One store's memory is twice its size: a bank in use and one to reclaim into.
  Status open(std::span<u8> volatile_memory, std::span<u8> flash, std::span<u8> statistics) noexcept {
    statistics_.open(statistics);
    Status const status = volatile_().open(Flash{volatile_memory});
    return status == Status::Success ? non_volatile().open(Flash{flash}) : status;
  }
  /// After a reset: the flash has its power again, and keeps its wear.
  Status power_on() noexcept {
    Flash flash = non_volatile().flash();
    flash.fail_after(Flash::kSteady);
    Flash memory = volatile_().flash();
    memory.erase(0, memory.size());
    Status const status = volatile_().open(memory);
    return status == Status::Success ? non_volatile().open(flash) : status;
  }

  Store& volatile_() noexcept { return stores_[0]; }
  Store& non_volatile() noexcept { return stores_[1]; }
  Properties& properties() noexcept { return properties_; }
  Statistics const& statistics() const noexcept { return statistics_; }
  bool runtime() const noexcept { return runtime_; }
  bool end_of_dxe() const noexcept { return end_of_dxe_; }
  void leave_dxe() noexcept { end_of_dxe_ = true; }
  void exit_boot_services() noexcept {
    runtime_ = true;
    non_volatile().enter_runtime();
    volatile_().enter_runtime();
  }
  /// Unsupported: too late; DeviceError: the flash did not take it. From here on nothing can be locked any more.
  Status ready_to_boot() noexcept {
    if (runtime_) {
      return Status::Unsupported;
    }
    leave_dxe();
    bool const reclaimed = non_volatile().reclaim();
    stores_changed();
    return reclaimed ? Status::Success : Status::DeviceError;
  }

  /// A variable as its reader sees it.
  struct Value {
    u32 attributes = 0;
    u8 const* data = nullptr;
    u64 bytes = 0;
  };
  /// NotFound, and BufferTooSmall when `room` is: then the value is given, and not its data.
  Status get(Name const& name, u64 room, Value& value) noexcept {
    Found const found = find(name);
    if (name.bytes == 2 || !found || !visible(found.record())) {
      return Status::NotFound;
    }
    Record const record = found.record();
    value = {record.attributes, found.store->data_of(found.at), record.data_bytes};
    if (room < value.bytes) {
      return Status::BufferTooSmall;
    }
    count(name, *found.store, &Statistics::Entry::reads);
    return Status::Success;
  }

  /// The name after `name`, volatile variables first; an empty one asks for the first. NotFound: no more;
  /// InvalidParameter: no such variable to go on from.
  Status next(Name const& name, Name& result) noexcept {
    Found found;
    if (name.bytes == 2) {
      found = visible_from(0, volatile_().first());
    } else {
      found = find(name);
      if (!found || !visible(found.record())) {
        return Status::InvalidParameter;
      }
      found = visible_from(static_cast<u64>(found.store - stores_), found.store->next(found.at));
    }
    if (!found) {
      return Status::NotFound;
    }
    result = {found.record().vendor, found.store->name_of(found.at), found.record().name_bytes};
    return Status::Success;
  }

  Status set(Name const& name, u32 attributes, u8 const* data, u64 bytes) noexcept {
    if (name.bytes == 2) {
      return Status::InvalidParameter;
    }
    Status status = check_set_attributes(attributes);
    if (status == Status::Success && sizeof(Record) + name.bytes + bytes > kMaximumVariable) {
      status = Status::InvalidParameter;
    }
    if (status == Status::Success && end_of_dxe_) {
      status = properties_.check_set(name, attributes, bytes);
    }
    if (status != Status::Success) {
      return status;
    }
    Found const found = find(name);
    status = found ? update(found, name, attributes, data, bytes) : create(name, attributes, data, bytes);
    stores_changed();
    return status;
  }

  /// MaximumVariableStorageSize, RemainingVariableStorageSize and MaximumVariableSize, without headers.
  struct Space {
    u64 storage = 0;
    u64 remaining = 0;
    u64 variable = 0;
  };
  Status query(u32 attributes, Space& space) noexcept {
    Status const status = check_query_attributes(attributes, runtime_);
    if (status == Status::Success) {
      Store const& store = store_of(attributes);
      u64 const remaining = store.remaining();
      u64 const largest = remaining < kMaximumVariable ? remaining : kMaximumVariable;
      space = {store.capacity(), remaining, largest < sizeof(Record) ? 0 : largest - sizeof(Record)};
    }
    return status;
  }

  Status init_cache(CacheContext const& context) noexcept {
    return end_of_dxe_ ? Status::AccessDenied : cache_.init(context, non_volatile(), volatile_());
  }
  Status sync_cache() noexcept { return cache_.sync(non_volatile(), volatile_()); }

 private:
  /// A live variable.
  struct Found {
    Store* store = nullptr;
    u64 at = Store::kNone;
    explicit operator bool() const noexcept { return at != Store::kNone; }
    Record record() const noexcept { return store->record(at); }
  };

  Found find(Name const& name) noexcept {
    for (Store& store : stores_) {
      if (u64 const at = store.find(name); at != Store::kNone) {
        return {&store, at};
      }
    }
    return {};
  }
  bool visible(Record const& record) const noexcept { return !runtime_ || (record.attributes & kRuntimeAccess) != 0; }
  /// The first visible variable at `at` of store `index`, or behind it.
  Found visible_from(u64 index, u64 at) noexcept {
    for (;;) {
      Store& store = stores_[index];
      for (; at != Store::kNone; at = store.next(at)) {
        if (visible(store.record(at))) {
          return {&store, at};
        }
      }
      if (++index == 2) {
        return {};
      }
      at = stores_[index].first();
    }
  }
  Store& store_of(u32 attributes) noexcept { return (attributes & kNonVolatile) != 0 ? non_volatile() : volatile_(); }
  void count(Name const& name, Store const& store, Statistics::Count which) noexcept {
    if (!runtime_) {
      statistics_.count(name, &store == &volatile_(), which);
    }
  }
  void stores_changed() noexcept { cache_.changed(non_volatile(), volatile_()); }

  /// Of a variable that is there. WriteProtected: not at runtime; InvalidParameter: other attributes, or too large.
  Status update(Found found, Name const& name, u32 attributes, u8 const* data, u64 bytes) noexcept {
    Record const old = found.record();
    if (runtime_ && !writable_at_runtime(old.attributes)) {
      return Status::WriteProtected;
    }
    if (attributes != 0 && (attributes & ~kAppendWrite) != old.attributes) {
      return Status::InvalidParameter;
    }
    if (deletes(attributes, bytes)) {
      count(name, *found.store, &Statistics::Entry::deletes);
      return found.store->remove(found.at);
    }
    bool const append = (attributes & kAppendWrite) != 0;
    u64 const kept = append ? old.data_bytes : 0;
    if (sizeof(Record) + name.bytes + kept + bytes > kMaximumVariable) {
      return Status::InvalidParameter;
    }
    count(name, *found.store, &Statistics::Entry::writes);
    bool const same =
        append ? bytes == 0
               : bytes == old.data_bytes && __builtin_memcmp(found.store->data_of(found.at), data, bytes) == 0;
    return same ? Status::Success : found.store->put(name, old.attributes, data, bytes, append);
  }
  /// Of a variable that is not there.
  Status create(Name const& name, u32 attributes, u8 const* data, u64 bytes) noexcept {
    if (bytes == 0 && (attributes & kAppendWrite) != 0) {
      return Status::Success;
    }
    if (deletes(attributes, bytes)) {
      return Status::NotFound;
    }
    if (runtime_ && !writable_at_runtime(attributes)) {
      return Status::InvalidParameter;
    }
    Store& store = store_of(attributes);
    Status const status = store.put(name, attributes & ~kAppendWrite, data, bytes, false);
    if (status == Status::Success) {
      count(name, store, &Statistics::Entry::writes);
    }
    return status;
  }

  Store stores_[2];  ///< volatile, non-volatile: the order of GetNextVariableName
  Properties properties_;
  Statistics statistics_;
  RuntimeCache cache_;
  bool end_of_dxe_ = false;
  bool runtime_ = false;
};

}  // namespace mm::variable
