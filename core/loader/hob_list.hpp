// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/abi/hob_list.hpp"
#include "core/image/bytes.hpp"
#include "core/loader/types.hpp"
#include "hal/roles/machine.hpp"

/// Reading an untrusted HOB list, writing a new one.
namespace mm::loader {

/// One HOB of a list: type and all of its bytes, header included.
struct Hob {
  abi::HobType type{};
  u64 offset = 0;  ///< from the start of the list
  image::Bytes bytes;

  /// Whether this is a GUID extension HOB of `name`.
  constexpr bool is_guid(Guid const& name) const noexcept {
    return type == abi::HobType::GuidExtension && bytes.size() >= sizeof(abi::HobGuid) &&
           image::load_guid(bytes, sizeof(abi::HobHeader)) == name;
  }
  /// Payload of a GUID extension HOB.
  constexpr image::Bytes payload() const noexcept { return image::slice(bytes, sizeof(abi::HobGuid), bytes.size()); }

  /// The HOB as a T; nothing when it is of another type or shorter.
  template <typename T>
  std::optional<T> as(abi::HobType wanted) const noexcept {
    return type == wanted ? image::load_object<T>(bytes, 0) : std::nullopt;
  }
  /// The payload of the GUID extension HOB `name` as a T; nothing when it is another HOB or shorter.
  template <typename T>
  std::optional<T> payload_as(Guid const& name) const noexcept {
    return is_guid(name) ? image::load_object<T>(bytes, sizeof(abi::HobGuid)) : std::nullopt;
  }
};

/// Walks a HOB list inside a span.
class HobWalker {
 public:
  constexpr explicit HobWalker(image::Bytes list) noexcept : list_(list), walk_(Headers{list}, list.size()) {}

  /// The next HOB before END, nothing at END. HobTruncated, HobLength; then the walk is over.
  constexpr std::expected<std::optional<Hob>, LoadError> next() noexcept {
    if (ended_) {
      return std::optional<Hob>{};
    }
    auto const step = walk_.next();
    ended_ = !step || step->is_end();
    if (!step) {
      bool const short_list = step.error().fault == abi::HobFault::Truncated;
      return std::unexpected(LoadError{short_list ? LoadProblem::HobTruncated : LoadProblem::HobLength,
                                       Status::CompromisedData,
                                       {},
                                       step.error().offset});
    }
    if (ended_) {
      return std::optional<Hob>{};
    }
    return Hob{step->type(), step->offset, image::slice(list_, step->offset, step->header.length)};
  }

 private:
  struct Headers {
    image::Bytes list;
    constexpr abi::HobHeader operator()(u64 offset) const noexcept {
      return {image::load_le<u16>(list, offset), image::load_le<u16>(list, offset + 2), 0};
    }
  };

  image::Bytes list_;
  abi::HobWalk<Headers> walk_;
  bool ended_ = false;
};

/// Appends HOBs to memory. The caller has reserved enough room: sizes are computed before.
template <hal::PhysMemory Mem>
class HobWriter {
 public:
  constexpr HobWriter(Mem& memory, u64 at) noexcept : memory_(memory), at_(at) {}

  void move_to(u64 at) noexcept { at_ = at; }
  /// Address of the next HOB.
  constexpr u64 position() const noexcept { return at_; }

  void raw_bytes(image::Bytes bytes) noexcept {
    memory_.write(PhysAddr{at_}, bytes);
    at_ += bytes.size();
  }
  template <typename T>
  void object(T const& value) noexcept {
    raw_bytes(std::as_bytes(std::span<T const, 1>{&value, 1}));
  }
  /// The header of a GUID HOB with `payload` bytes to follow; the padded length must fit in 16 bits.
  void guid_header(Guid const& name, u64 payload) noexcept {
    abi::HobGuid hob;
    hob.header.length = static_cast<u16>(align_up(sizeof(abi::HobGuid) + payload, 8));
    hob.name = name;
    object(hob);
  }
  /// A GUID HOB with a payload whose size is a multiple of 8.
  template <typename T>
  void guid(Guid const& name, T const& payload) noexcept {
    static_assert(sizeof(T) % 8 == 0);
    guid_header(name, sizeof(T));
    object(payload);
  }
  void pad() noexcept {
    static constexpr std::byte kZero[8]{};
    raw_bytes(image::Bytes{kZero, static_cast<std::size_t>(align_up(at_, 8) - at_)});
  }
  void end() noexcept { object(abi::HobHeader{static_cast<u16>(abi::HobType::EndOfHobList), 8, 0}); }

 private:
  Mem& memory_;
  u64 at_;
};

/// The longest HOB: its length has 16 bits and is a multiple of 8.
inline constexpr u64 kMaxHobBytes = 0xFFF8;
/// Bytes of a GUID HOB with this payload.
constexpr u64 guid_hob_bytes(u64 payload) noexcept { return align_up(sizeof(abi::HobGuid) + payload, 8); }

}  // namespace mm::loader
