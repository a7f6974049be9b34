// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/pool.hpp"

namespace mm::user {

/// Handles, protocols and notifications (user-core-and-communication.md 1.3 and 1.4). Handles and registrations are
/// integers that are looked up, never dereferenced. Statuses as in C and edk2. Each record knows the image that owns
/// it.
template <Ring3 R>
class ProtocolDatabase {
 public:
  explicit constexpr ProtocolDatabase(Pool<R>& pool) noexcept : interfaces_(pool), notifies_(pool) {}

  /// Installs and then runs the notifications of `protocol` in registration order through `notify(fn, owner, guid,
  /// interface, handle)`. *handle is written before they run, so a fault in one of them leaves no half-told caller.
  /// InvalidParameter: null pointer, type not native, unknown handle, protocol already on it. OutOfResources.
  template <typename Notify>
  Status install(Handle* handle, Guid const* protocol, u32 type, void* interface, u64 owner, Notify&& notify) noexcept {
    if (handle == nullptr || protocol == nullptr || type != 0) {
      return Status::InvalidParameter;
    }
    Guid const guid = *protocol;
    if (*handle != 0 && (!is_handle(*handle) || find(*handle, guid) != kNone)) {
      return Status::InvalidParameter;
    }
    Handle const on = *handle != 0 ? *handle : ++last_handle_;
    if (!interfaces_.push_back({on, guid, interface, ++last_sequence_, owner}).has_value()) {
      return Status::OutOfResources;
    }
    *handle = on;
    run_notifications(guid, interface, on, notify);
    return Status::Success;
  }

  /// InvalidParameter: null protocol or unknown handle; NotFound: no such (protocol, interface) on it.
  Status uninstall(Handle handle, Guid const* protocol, void const* interface) noexcept {
    if (protocol == nullptr || !is_handle(handle)) {
      return Status::InvalidParameter;
    }
    u64 const index = find(handle, *protocol);
    if (index == kNone || interfaces_[index].interface != interface) {
      return Status::NotFound;
    }
    interfaces_.erase(index);
    return Status::Success;
  }

  /// InvalidParameter: null pointer or unknown handle; Unsupported: the protocol is not on it.
  Status handle_protocol(Handle handle, Guid const* protocol, void** interface) const noexcept {
    if (protocol == nullptr || interface == nullptr) {
      return Status::InvalidParameter;
    }
    *interface = nullptr;
    if (!is_handle(handle)) {
      return Status::InvalidParameter;
    }
    u64 const index = find(handle, *protocol);
    if (index == kNone) {
      return Status::Unsupported;
    }
    *interface = interfaces_[index].interface;
    return Status::Success;
  }

  /// With a function: registers it for future installs; the same pair again gives the same registration. Without one:
  /// removes *registration, NotFound when unknown. InvalidParameter: null pointer. OutOfResources.
  Status register_notify(Guid const* protocol, NotifyFn function, void** registration, u64 owner) noexcept {
    if (protocol == nullptr || registration == nullptr) {
      return Status::InvalidParameter;
    }
    for (u64 i = 0; i < notifies_.size(); ++i) {
      Notify const& record = notifies_[i];
      if (function == nullptr && record.guid == *protocol && at<void>(record.token) == *registration) {
        notifies_.erase(i);
        return Status::Success;
      }
      if (function != nullptr && record.guid == *protocol && record.function == function) {
        *registration = at<void>(record.token);
        return Status::Success;
      }
    }
    if (function == nullptr) {
      return Status::NotFound;
    }
    u64 const token = ++last_handle_;
    if (!notifies_.push_back({*protocol, function, token, last_sequence_, owner}).has_value()) {
      return Status::OutOfResources;
    }
    *registration = at<void>(token);
    return Status::Success;
  }

  /// Statuses of 1.3. When the buffer is too small the entries that fit are filled, as in C.
  Status locate_handle(u32 search, Guid const* protocol, void* key, u64* size, Handle* buffer) noexcept {
    if (size == nullptr || (*size > 0 && buffer == nullptr) || search > kSearchByProtocol ||
        (search == kSearchByProtocol && protocol == nullptr) || (search == kSearchByRegisterNotify && key == nullptr)) {
      return Status::InvalidParameter;
    }
    HandleSink sink{buffer, *size / sizeof(Handle), 0};
    u64 fresh = kNone;
    if (search == kSearchAllHandles) {
      for (Handle h = next_handle(0); h != 0; h = next_handle(h)) {
        sink.put(h);
      }
    } else if (search == kSearchByProtocol) {
      for (Interface const& record : interfaces_) {
        if (record.guid == *protocol) {
          sink.put(record.handle);
        }
      }
    } else if (u64 const n = find_notify(key); n != kNone) {
      fresh = next_interface(notifies_[n]);
      if (fresh != kNone) {
        sink.put(interfaces_[fresh].handle);
      }
    }
    if (sink.count == 0) {
      return Status::NotFound;
    }
    bool const fits = sink.count <= sink.capacity;
    *size = sink.count * sizeof(Handle);
    if (fits && fresh != kNone) {
      notifies_[find_notify(key)].cursor = interfaces_[fresh].sequence;
    }
    return fits ? Status::Success : Status::BufferTooSmall;
  }

  /// InvalidParameter: null pointer; NotFound: none, or none that is new for the registration.
  Status locate_protocol(Guid const* protocol, void* registration, void** interface) noexcept {
    if (protocol == nullptr || interface == nullptr) {
      return Status::InvalidParameter;
    }
    *interface = nullptr;
    u64 index = kNone;
    if (registration == nullptr) {
      index = first_of(*protocol);
    } else if (u64 const n = find_notify(registration); n != kNone) {
      index = next_interface(notifies_[n]);
      if (index != kNone) {
        notifies_[n].cursor = interfaces_[index].sequence;
      }
    }
    if (index == kNone) {
      return Status::NotFound;
    }
    *interface = interfaces_[index].interface;
    return Status::Success;
  }

  bool is_installed(Guid const& protocol) const noexcept { return first_of(protocol) != kNone; }
  u64 interface_count() const noexcept { return interfaces_.size(); }

  /// Removes every protocol and notification of one image.
  void remove_owner(u64 owner) noexcept {
    interfaces_.erase_if([owner](Interface const& r) { return r.owner == owner; });
    notifies_.erase_if([owner](Notify const& r) { return r.owner == owner; });
  }

 private:
  struct Interface {
    Handle handle = 0;
    Guid guid;
    void* interface = nullptr;
    u64 sequence = 0;  ///< ascending over all installs
    u64 owner = 0;
  };
  struct Notify {
    Guid guid;
    NotifyFn function = nullptr;
    u64 token = 0;
    u64 cursor = 0;  ///< sequence of the last interface it was told of by a search
    u64 owner = 0;
  };
  struct HandleSink {
    Handle* buffer;
    u64 capacity;
    u64 count;
    void put(Handle h) noexcept {
      if (count < capacity) {
        buffer[count] = h;
      }
      ++count;
    }
  };
  static constexpr u64 kNone = UINT64_MAX;

  template <typename F>
  void run_notifications(Guid const& guid, void* interface, Handle handle, F& notify) noexcept {
    u64 last = 0;
    for (;;) {
      u64 const index = next_notify(guid, last);
      if (index == kNone) {
        return;
      }
      Notify const record = notifies_[index];
      last = record.token;
      notify(record.function, record.owner, &guid, interface, handle);
    }
  }

  u64 next_notify(Guid const& guid, u64 after) const noexcept {
    for (u64 i = 0; i < notifies_.size(); ++i) {
      if (notifies_[i].token > after && notifies_[i].guid == guid) {
        return i;
      }
    }
    return kNone;
  }
  u64 find_notify(void const* registration) const noexcept {
    for (u64 i = 0; i < notifies_.size(); ++i) {
      if (notifies_[i].token == address_of(registration)) {
        return i;
      }
    }
    return kNone;
  }
  u64 next_interface(Notify const& record) const noexcept {
    for (u64 i = 0; i < interfaces_.size(); ++i) {
      if (interfaces_[i].sequence > record.cursor && interfaces_[i].guid == record.guid) {
        return i;
      }
    }
    return kNone;
  }
  u64 first_of(Guid const& guid) const noexcept {
    for (u64 i = 0; i < interfaces_.size(); ++i) {
      if (interfaces_[i].guid == guid) {
        return i;
      }
    }
    return kNone;
  }
  u64 find(Handle handle, Guid const& guid) const noexcept {
    for (u64 i = 0; i < interfaces_.size(); ++i) {
      if (interfaces_[i].handle == handle && interfaces_[i].guid == guid) {
        return i;
      }
    }
    return kNone;
  }
  bool is_handle(Handle handle) const noexcept {
    for (Interface const& record : interfaces_) {
      if (record.handle == handle) {
        return true;
      }
    }
    return false;
  }
  /// The smallest handle above `after`, 0 when there is none: creation order.
  Handle next_handle(Handle after) const noexcept {
    Handle best = 0;
    for (Interface const& record : interfaces_) {
      if (record.handle > after && (best == 0 || record.handle < best)) {
        best = record.handle;
      }
    }
    return best;
  }

  PoolVector<Interface, R> interfaces_;  ///< installation order
  PoolVector<Notify, R> notifies_;       ///< registration order
  u64 last_handle_ = 0;
  u64 last_sequence_ = 0;
};

}  // namespace mm::user
