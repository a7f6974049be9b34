// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>

#include "core/abi/hob.hpp"

/// The one walk over a HOB list, whoever wrote it and wherever it lies: physical memory, a span, addresses of ring 3.
/// What a length is held against stands here; whether a page may be read at all, and what a fault means, is for those
/// who walk. Nothing is taken from the list but its headers: the PHIT's word for the end is not used.
namespace mm::abi {

/// Limit of a list that is still untrusted.
inline constexpr u64 kHobListLimit = 1ull << 20;

/// The least length of a HOB of this type, header included: what its fixed part takes (PI 1.8 vol. 3, 5).
constexpr u64 least_hob_bytes(HobType type) noexcept {
  switch (type) {
    case HobType::Handoff:
      return sizeof(HobHandoff);
    case HobType::MemoryAllocation:
      return sizeof(HobMemoryAllocation);
    case HobType::ResourceDescriptor:
      return sizeof(HobResourceDescriptor);
    case HobType::ResourceDescriptor2:
      return sizeof(HobResourceDescriptor2);
    case HobType::GuidExtension:
      return sizeof(HobGuid);
    case HobType::Fv:
      return sizeof(HobFv);
    case HobType::Cpu:
    case HobType::Unused:
    case HobType::EndOfHobList:
      break;
  }
  return sizeof(HobHeader);
}

/// Whether the length of this header is possible.
constexpr bool has_hob_length(HobHeader const& header) noexcept {
  return header.length >= least_hob_bytes(static_cast<HobType>(header.type)) && header.length % 8 == 0;
}

/// One HOB of a list, or its end marker, whose length is not checked.
struct HobStep {
  u64 offset = 0;  ///< from the start of the list
  HobHeader header;
  constexpr HobType type() const noexcept { return static_cast<HobType>(header.type); }
  constexpr bool is_end() const noexcept { return type() == HobType::EndOfHobList; }
};

/// Why a walk cannot go on.
enum class HobFault : u8 {
  Length,     ///< impossible for the type
  Truncated,  ///< the HOB, or its header, reaches beyond the limit
};
struct HobError {
  HobFault fault{};
  u64 offset = 0;  ///< of the HOB
};

/// `read(u64 offset) -> HobHeader` fetches one header, once a step.
template <typename Read>
class HobWalk {
 public:
  /// `limit`: bytes that the list may have.
  constexpr HobWalk(Read read, u64 limit) noexcept : read_(read), limit_(limit) {}

  /// Offset of the next HOB.
  constexpr u64 position() const noexcept { return at_; }
  /// Whether the next header lies within the limit.
  constexpr bool has_room() const noexcept { return limit_ - at_ >= sizeof(HobHeader); }

  /// The next HOB. The end marker is the last that makes sense to ask for; after an error or the end the walk stays
  /// where it is.
  constexpr std::expected<HobStep, HobError> next() noexcept {
    if (!has_room()) {
      return std::unexpected(HobError{HobFault::Truncated, at_});
    }
    HobStep const step{at_, read_(at_)};
    if (step.is_end()) {
      return step;
    }
    if (!has_hob_length(step.header)) {
      return std::unexpected(HobError{HobFault::Length, at_});
    }
    if (step.header.length > limit_ - at_) {
      return std::unexpected(HobError{HobFault::Truncated, at_});
    }
    at_ += step.header.length;
    return step;
  }

 private:
  Read read_;
  u64 limit_;
  u64 at_ = 0;
};

}  // namespace mm::abi
