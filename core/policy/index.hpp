// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/policy/policy.hpp"

namespace mm::policy {

/// The IO and MSR descriptors of a validated blob in the order of their first number, so that a decision looks at those
/// near the access and not at all of them. It answers as decide_msr() and decide_io(), which stay the definition: they
/// ask every descriptor the same question, matches(), and one that does not overlap the access answers no.
///
/// Built once, when the blob is taken over; the blob must not change afterwards. A blob with more than kMost of these
/// descriptors has no index, and every question is put to all of them. Plain values; any number of readers.
class Index {
 public:
  static constexpr u32 kMost = 512;

  /// Replaces what was there. `v` has passed validate().
  constexpr void build(View v) noexcept {
    used_ = 0;
    whole_ = add<Type::Io>(v, io_) && add<Type::Msr>(v, msr_);
  }
  /// As decide_msr(); `v` is the blob of build().
  constexpr Status msr(View v, u32 msr, u16 access) const noexcept {
    if (!whole_) {
      return decide_msr(v, msr, access);
    }
    return is_msr_question(access) ? decide<Type::Msr>(v, msr_, {msr, 1, false}, access) : Status::InvalidParameter;
  }
  /// As decide_io().
  constexpr Status io(View v, u64 port, u64 width, u16 access) const noexcept {
    if (!whole_) {
      return decide_io(v, port, width, access);
    }
    return is_io_question(port, width, access) ? decide<Type::Io>(v, io_, {port, width, false}, access)
                                               : Status::InvalidParameter;
  }

 private:
  static_assert(kMaxBytes <= 0x1'0000);

  struct Entry {
    u32 first = 0;
    u32 reach = 0;  ///< the last number that this one or one before it covers
    u16 at = 0;     ///< of the descriptor in the blob
    u16 attributes = 0;
  };
  /// The entries of one type.
  struct Part {
    u32 begin = 0;
    u32 count = 0;
    u8 access_attr = 0;
    bool exists = false;
  };

  /// False: there are too many.
  template <Type kType>
  constexpr bool add(View v, Part& part) noexcept {
    u64 const at = find_root(v, kType);
    Root const root = at == 0 ? Root{} : v.get<Root>(at);
    part = {used_, 0, root.access_attr, at != 0};
    if (root.count > kMost - used_) {
      return false;
    }
    for (u64 i = 0; i < root.count; ++i) {
      u64 const place = root.offset + i * sizeof(detail::DescriptorOf<kType>);
      insert(part, v.get<detail::DescriptorOf<kType>>(place).attributes, detail::span_of(v, kType, place), place);
    }
    u32 reach = 0;
    for (Entry& e : std::span(entries_).subspan(part.begin, part.count)) {
      reach = e.reach > reach ? e.reach : reach;
      e.reach = reach;
    }
    return true;
  }
  /// Its place is behind all that begin before it; those of a sorted blob are there already.
  constexpr void insert(Part& part, u16 attributes, detail::Span span, u64 at) noexcept {
    u32 i = used_++;
    for (; i != part.begin && entries_[i - 1].first > span.base; --i) {
      entries_[i] = entries_[i - 1];
    }
    entries_[i] = {static_cast<u32>(span.base), static_cast<u32>(span.base + (span.size - 1)), static_cast<u16>(at),
                   attributes};
    ++part.count;
  }

  template <Type kType>
  constexpr Status decide(View v, Part const& part, detail::Span access, u16 wanted) const noexcept {
    if (!part.exists) {
      return Status::AccessDenied;
    }
    // Behind the last entry that begins before the end of the access.
    u32 low = part.begin;
    for (u32 high = part.begin + part.count; low != high;) {
      u32 const middle = low + (high - low) / 2;
      bool const before = entries_[middle].first < access.base + access.size;
      low = before ? middle + 1 : low;
      high = before ? high : middle;
    }
    bool const deny = part.access_attr == static_cast<u8>(AccessAttr::DenyList);
    bool match = false;
    for (; !match && low != part.begin && entries_[low - 1].reach >= access.base; --low) {
      Entry const& e = entries_[low - 1];
      match = (e.attributes & wanted) != 0 && detail::matches(detail::span_of(v, kType, e.at), access, deny);
    }
    return detail::verdict(match, part.access_attr);
  }

  std::array<Entry, kMost> entries_{};
  u32 used_ = 0;
  bool whole_ = false;  ///< every descriptor has its entry
  Part io_;
  Part msr_;
};

}  // namespace mm::policy
