// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/objects.hpp"

namespace mm::user {

/// Handles, protocols and notifications (core/user/RING3.md 1.1 and 1.2). Handles and registrations are
/// integers that are looked up, never dereferenced. Statuses as in C and edk2. Each record knows the image that owns
/// it. Looking something up, adding and removing take log n steps.
template <Ring3 R>
class ProtocolDatabase {
 public:
  explicit ProtocolDatabase(Pool<R>& pool) noexcept : pool_(pool) {}

  /// Installs and then runs the notifications of `protocol` in registration order through `notify(fn, owner, guid,
  /// interface, handle)`. *handle is written before they run, so a fault in one of them leaves no half-told caller.
  /// InvalidParameter: null pointer, type not native, unknown handle, protocol already on it. OutOfResources.
  template <typename Notify>
  Status install(Handle* handle, Guid const* protocol, u32 type, void* interface, u64 owner, Notify&& notify) noexcept {
    if (handle == nullptr || protocol == nullptr || type != 0) {
      return Status::InvalidParameter;
    }
    Guid const guid = *protocol;
    if (*handle != 0 && (find_handle(*handle) == nullptr || find(*handle, guid) != nullptr)) {
      return Status::InvalidParameter;
    }
    auto const made = add(*handle, guid, interface, owner);
    if (!made.has_value()) {
      return made.error();
    }
    Handle const on = *made;
    *handle = on;
    run_notifications(guid, interface, on, notify);
    return Status::Success;
  }

  /// InvalidParameter: null protocol or unknown handle; NotFound: no such (protocol, interface) on it.
  Status uninstall(Handle handle, Guid const* protocol, void const* interface) noexcept {
    if (protocol == nullptr || find_handle(handle) == nullptr) {
      return Status::InvalidParameter;
    }
    Interface* const record = find(handle, *protocol);
    if (record == nullptr || record->interface != interface) {
      return Status::NotFound;
    }
    drop(*record);
    return Status::Success;
  }

  /// InvalidParameter: null pointer or unknown handle; Unsupported: the protocol is not on it.
  Status handle_protocol(Handle handle, Guid const* protocol, void** interface) noexcept {
    if (protocol == nullptr || interface == nullptr) {
      return Status::InvalidParameter;
    }
    *interface = nullptr;
    if (find_handle(handle) == nullptr) {
      return Status::InvalidParameter;
    }
    Interface const* const record = find(handle, *protocol);
    if (record == nullptr) {
      return Status::Unsupported;
    }
    *interface = record->interface;
    return Status::Success;
  }

  /// With a function: registers it for future installs; the same pair again gives the same registration. Without one:
  /// removes *registration, NotFound when unknown. InvalidParameter: null pointer. OutOfResources.
  Status register_notify(Guid const* protocol, NotifyFn function, void** registration, u64 owner) noexcept {
    if (protocol == nullptr || registration == nullptr) {
      return Status::InvalidParameter;
    }
    if (function == nullptr) {
      return unregister_notify(*protocol, *registration);
    }
    auto const entry = find_or_make(*protocol);
    if (!entry.has_value()) {
      return entry.error();
    }
    for (Notify const& record : (*entry)->notifies) {
      if (record.function == function) {
        *registration = at<void>(record.token);
        return Status::Success;
      }
    }
    auto const made = make<Notify>(pool_);
    if (!made.has_value()) {
      drop_if_unused(**entry);
      return made.error();
    }
    Notify& record = **made;
    record.protocol = *entry;
    record.function = function;
    record.token = ++last_handle_;
    record.cursor = last_sequence_;
    record.owner = owner;
    (*entry)->notifies.insert(record);
    tokens_.insert(record);
    *registration = at<void>(record.token);
    return Status::Success;
  }

  /// Statuses of 1.3. When the buffer is too small the entries that fit are filled, as in C.
  Status locate_handle(u32 search, Guid const* protocol, void* key, u64* size, Handle* buffer) noexcept {
    if (size == nullptr || (*size > 0 && buffer == nullptr) || search > kSearchByProtocol ||
        (search == kSearchByProtocol && protocol == nullptr) || (search == kSearchByRegisterNotify && key == nullptr)) {
      return Status::InvalidParameter;
    }
    HandleSink sink{buffer, *size / sizeof(Handle), 0};
    Notify* searcher = nullptr;
    Interface const* fresh = nullptr;
    if (search == kSearchAllHandles) {
      for (HandleEntry const& entry : handles_) {
        sink.put(entry.value);
      }
    } else if (search == kSearchByProtocol) {
      if (ProtocolEntry const* const entry = find_protocol(*protocol); entry != nullptr) {
        for (Interface const& record : entry->interfaces) {
          sink.put(record.handle->value);
        }
      }
    } else if (searcher = find_notify(key); searcher != nullptr) {
      fresh = next_interface(*searcher);
      if (fresh != nullptr) {
        sink.put(fresh->handle->value);
      }
    }
    if (sink.count == 0) {
      return Status::NotFound;
    }
    bool const fits = sink.count <= sink.capacity;
    *size = sink.count * sizeof(Handle);
    if (fits && fresh != nullptr) {
      searcher->cursor = fresh->sequence;
    }
    return fits ? Status::Success : Status::BufferTooSmall;
  }

  /// InvalidParameter: null pointer; NotFound: none, or none that is new for the registration.
  Status locate_protocol(Guid const* protocol, void* registration, void** interface) noexcept {
    if (protocol == nullptr || interface == nullptr) {
      return Status::InvalidParameter;
    }
    *interface = nullptr;
    Interface const* found = nullptr;
    if (registration == nullptr) {
      ProtocolEntry const* const entry = find_protocol(*protocol);
      if (entry != nullptr && !entry->interfaces.empty()) {
        found = &*entry->interfaces.begin();
      }
    } else if (Notify* const searcher = find_notify(registration); searcher != nullptr) {
      found = next_interface(*searcher);
      if (found != nullptr) {
        searcher->cursor = found->sequence;
      }
    }
    if (found == nullptr) {
      return Status::NotFound;
    }
    *interface = found->interface;
    return Status::Success;
  }

  bool is_installed(Guid const& protocol) noexcept {
    ProtocolEntry const* const entry = find_protocol(protocol);
    return entry != nullptr && !entry->interfaces.empty();
  }

  /// Removes every protocol and notification of one image; `removed(guid)` is told of each protocol.
  template <typename F>
  void remove_owner(u64 owner, F&& removed) noexcept {
    for (auto it = sequence_.begin(); it != sequence_.end();) {
      Interface& record = *it++;
      if (record.owner == owner) {
        removed(record.protocol->guid);
        drop(record);
      }
    }
    for (auto it = tokens_.begin(); it != tokens_.end();) {
      Notify& record = *it++;
      if (record.owner == owner) {
        drop(record);
      }
    }
  }

 private:
  struct HandleEntry;
  struct ProtocolEntry;

  struct Interface {
    TreeHook in_handle, in_protocol, in_all;
    HandleEntry* handle = nullptr;
    ProtocolEntry* protocol = nullptr;
    void* interface = nullptr;
    u64 sequence = 0;  ///< ascending over all installs
    u64 owner = 0;
  };
  struct Notify {
    TreeHook in_protocol, in_all;
    ProtocolEntry* protocol = nullptr;
    NotifyFn function = nullptr;
    u64 token = 0;
    u64 cursor = 0;  ///< sequence of the last interface it was told of by a search
    u64 owner = 0;
  };
  struct GuidOfInterface {
    using type = Guid;
    Guid const& operator()(Interface const& record) const noexcept { return record.protocol->guid; }
  };
  struct SequenceOf {
    using type = u64;
    u64 operator()(Interface const& record) const noexcept { return record.sequence; }
  };
  struct TokenOf {
    using type = u64;
    u64 operator()(Notify const& record) const noexcept { return record.token; }
  };
  struct HandleEntry {
    TreeHook hook;
    Handle value = 0;
    Tree<Interface, &Interface::in_handle, GuidOfInterface> interfaces;
  };
  /// Exists while it has an interface or a notification.
  struct ProtocolEntry {
    TreeHook hook;
    Guid guid;
    Tree<Interface, &Interface::in_protocol, SequenceOf> interfaces;  ///< installation order
    Tree<Notify, &Notify::in_protocol, TokenOf> notifies;             ///< registration order
  };
  struct ValueOf {
    using type = Handle;
    Handle operator()(HandleEntry const& entry) const noexcept { return entry.value; }
  };
  struct GuidOf {
    using type = Guid;
    Guid const& operator()(ProtocolEntry const& entry) const noexcept { return entry.guid; }
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

  template <typename T>
  static auto* found_in(T& tree, auto const& key) noexcept {
    auto const it = tree.find(key);
    return it == tree.end() ? nullptr : &*it;
  }
  HandleEntry* find_handle(Handle handle) noexcept { return found_in(handles_, handle); }
  ProtocolEntry* find_protocol(Guid const& guid) noexcept { return found_in(protocols_, guid); }
  Notify* find_notify(void const* registration) noexcept { return found_in(tokens_, address_of(registration)); }
  Interface* find(Handle handle, Guid const& guid) noexcept {
    HandleEntry* const entry = find_handle(handle);
    return entry == nullptr ? nullptr : found_in(entry->interfaces, guid);
  }
  static Interface const* next_interface(Notify const& searcher) noexcept {
    auto const& interfaces = searcher.protocol->interfaces;
    auto const it = interfaces.upper_bound(searcher.cursor);
    return it == interfaces.end() ? nullptr : &*it;
  }

  Expected<ProtocolEntry*> find_or_make(Guid const& guid) noexcept {
    if (ProtocolEntry* const entry = find_protocol(guid); entry != nullptr) {
      return entry;
    }
    MM_TRY_ASSIGN(ProtocolEntry* const entry, make<ProtocolEntry>(pool_));
    entry->guid = guid;
    protocols_.insert(*entry);
    return entry;
  }
  Expected<HandleEntry*> find_or_make(Handle handle) noexcept {
    if (handle != 0) {
      return find_handle(handle);
    }
    MM_TRY_ASSIGN(HandleEntry* const entry, make<HandleEntry>(pool_));
    entry->value = ++last_handle_;
    handles_.insert(*entry);
    return entry;
  }

  /// Puts an interface on a known handle, or on a new one for 0. OutOfResources, and then nothing is left behind.
  Expected<Handle> add(Handle handle, Guid const& guid, void* interface, u64 owner) noexcept {
    MM_TRY_ASSIGN(Interface* const record, make<Interface>(pool_));
    auto const protocol = find_or_make(guid);
    auto const on = protocol.has_value() ? find_or_make(handle) : std::unexpected(protocol.error());
    if (!on.has_value()) {
      if (protocol.has_value()) {
        drop_if_unused(**protocol);
      }
      discard(pool_, record);
      return std::unexpected(on.error());
    }
    record->handle = *on;
    record->protocol = *protocol;
    record->interface = interface;
    record->sequence = ++last_sequence_;
    record->owner = owner;
    (*on)->interfaces.insert(*record);
    (*protocol)->interfaces.insert(*record);
    sequence_.insert(*record);
    return (*on)->value;
  }

  void drop(Interface& record) noexcept {
    HandleEntry& handle = *record.handle;
    ProtocolEntry& protocol = *record.protocol;
    handle.interfaces.erase(handle.interfaces.iterator_to(record));
    protocol.interfaces.erase(protocol.interfaces.iterator_to(record));
    sequence_.erase(sequence_.iterator_to(record));
    discard(pool_, &record);
    if (handle.interfaces.empty()) {
      handles_.erase(handles_.iterator_to(handle));
      discard(pool_, &handle);
    }
    drop_if_unused(protocol);
  }
  void drop(Notify& record) noexcept {
    ProtocolEntry& protocol = *record.protocol;
    protocol.notifies.erase(protocol.notifies.iterator_to(record));
    tokens_.erase(tokens_.iterator_to(record));
    discard(pool_, &record);
    drop_if_unused(protocol);
  }
  void drop_if_unused(ProtocolEntry& protocol) noexcept {
    if (protocol.interfaces.empty() && protocol.notifies.empty()) {
      protocols_.erase(protocols_.iterator_to(protocol));
      discard(pool_, &protocol);
    }
  }

  Status unregister_notify(Guid const& protocol, void const* registration) noexcept {
    Notify* const record = find_notify(registration);
    if (record == nullptr || record->protocol->guid != protocol) {
      return Status::NotFound;
    }
    drop(*record);
    return Status::Success;
  }

  /// Everything is looked up again after each call: it may have removed any record.
  template <typename F>
  void run_notifications(Guid const& guid, void* interface, Handle handle, F& notify) noexcept {
    u64 last = 0;
    for (;;) {
      ProtocolEntry* const protocol = find_protocol(guid);
      if (protocol == nullptr) {
        return;
      }
      auto const it = protocol->notifies.upper_bound(last);
      if (it == protocol->notifies.end()) {
        return;
      }
      last = it->token;
      notify(it->function, it->owner, &guid, interface, handle);
    }
  }

  Pool<R>& pool_;
  Tree<HandleEntry, &HandleEntry::hook, ValueOf> handles_;  ///< creation order
  Tree<ProtocolEntry, &ProtocolEntry::hook, GuidOf> protocols_;
  Tree<Interface, &Interface::in_all, SequenceOf> sequence_;  ///< installation order
  Tree<Notify, &Notify::in_all, TokenOf> tokens_;             ///< registration order
  u64 last_handle_ = 0;
  u64 last_sequence_ = 0;
};

}  // namespace mm::user
