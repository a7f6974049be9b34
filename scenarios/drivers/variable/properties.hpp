// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "scenarios/drivers/variable/attributes.hpp"
#include "scenarios/drivers/variable/protocol.hpp"
#include "scenarios/drivers/variable/record.hpp"

namespace mm::variable {

/// What drivers before EndOfDxe said about single variables: properties (VarCheck), and locks, which are the property
/// "read-only". SetVariable is held against them from EndOfDxe on.
class Properties {
 public:
  static constexpr u64 kMost = 16;
  static constexpr u64 kLongestName = 128;

  /// InvalidParameter: no name, or another revision; OutOfResources: too many, or too long a name. A lock stays.
  Status set(Name const& name, Property property) noexcept {
    if (name.bytes == 2 || property.revision != Property::kRevision) {
      return Status::InvalidParameter;
    }
    Entry* entry = find(name);
    if (entry != nullptr) {
      property.property |= entry->locked ? Property::kReadOnly : u16{0};
      entry->property = property;
      return Status::Success;
    }
    return add(name, property) != nullptr ? Status::Success : Status::OutOfResources;
  }
  Status lock(Name const& name) noexcept {
    if (name.bytes == 2) {
      return Status::InvalidParameter;
    }
    Entry* entry = find(name);
    if (entry == nullptr) {
      entry = add(name, {.revision = Property::kRevision});
    }
    if (entry == nullptr) {
      return Status::OutOfResources;
    }
    entry->locked = true;
    entry->property.property |= Property::kReadOnly;
    return Status::Success;
  }
  /// NotFound: nothing is said about it.
  Status get(Name const& name, Property& property) noexcept {
    if (name.bytes == 2) {
      return Status::InvalidParameter;
    }
    Entry const* const entry = find(name);
    if (entry == nullptr) {
      return Status::NotFound;
    }
    property = entry->property;
    return Status::Success;
  }

  /// Whether the variable may be set so. WriteProtected: read-only; InvalidParameter: other attributes or another size
  /// than were asked for.
  Status check_set(Name const& name, u32 attributes, u64 bytes) noexcept {
    Entry const* const entry = find(name);
    if (entry == nullptr) {
      return Status::Success;
    }
    Property const& wanted = entry->property;
    if ((wanted.property & Property::kReadOnly) != 0) {
      return Status::WriteProtected;
    }
    bool const removes = (bytes == 0 && (attributes & kAppendWrite) == 0) || attributes == 0;
    bool const other_attributes = wanted.attributes != 0 && (attributes & ~kAppendWrite) != wanted.attributes;
    bool const other_size = bytes != 0 && (bytes < wanted.min_size || bytes > wanted.max_size);
    return !removes && (other_attributes || other_size) ? Status::InvalidParameter : Status::Success;
  }

 private:
  struct Entry {
    Guid vendor;
    u64 bytes = 0;
    u8 text[kLongestName] = {};
    Property property;
    bool locked = false;
  };

  Entry* find(Name const& name) noexcept {
    for (Entry& entry : std::span{entries_, count_}) {
      if (entry.vendor == name.vendor && entry.bytes == name.bytes &&
          __builtin_memcmp(entry.text, name.text, name.bytes) == 0) {
        return &entry;
      }
    }
    return nullptr;
  }
  Entry* add(Name const& name, Property const& property) noexcept {
    if (count_ == kMost || name.bytes > kLongestName) {
      return nullptr;
    }
    Entry& entry = entries_[count_++];
    entry.vendor = name.vendor;
    entry.bytes = name.bytes;
    __builtin_memcpy(entry.text, name.text, name.bytes);
    entry.property = property;
    return &entry;
  }

  Entry entries_[kMost];
  u64 count_ = 0;
};

}  // namespace mm::variable
