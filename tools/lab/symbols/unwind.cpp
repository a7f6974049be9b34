// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/unwind.hpp"

#include <algorithm>
#include <optional>

#include "core/image/bytes.hpp"
#include "tools/lab/symbols/pe_view.hpp"

namespace mm::lab {
namespace {

using image::load_le;
using Span = std::span<std::byte const>;

constexpr std::size_t kMostFrames = 64;
constexpr unsigned kRsp = 4;
constexpr unsigned kRbp = 5;
constexpr u64 kFunctionBytes = 12;

enum UnwindOperation : u8 {
  kPushNonVolatile = 0,
  kAllocateLarge = 1,
  kAllocateSmall = 2,
  kSetFrame = 3,
  kSaveNonVolatile = 4,
  kSaveNonVolatileFar = 5,
  kEpilog = 6,
  kSpare = 7,
  kSaveXmm = 8,
  kSaveXmmFar = 9,
  kPushMachineFrame = 10,
};

/// One RUNTIME_FUNCTION.
struct Function {
  u32 begin = 0;
  u32 end = 0;
  u32 info = 0;
};

class Unwinder {
 public:
  Unwinder(StoppedCode const& stopped, std::span<UnwindImage const> images)
      : images_(images), stack_at_(stopped.stack_at), stack_(stopped.stack), rip_(stopped.rip), r_(stopped.registers) {}

  std::vector<StackFrame> run() {
    std::vector<StackFrame> out{{rip_, false}};
    while (out.size() < kMostFrames) {
      auto const next = step(out.size() == 1);
      if (!next) {
        break;
      }
      out.push_back(*next);
    }
    return out;
  }

 private:
  UnwindImage const* image_at(u64 address) const {
    auto const at = std::ranges::find_if(images_, [&](UnwindImage const& i) { return i.where.contains({address, 1}); });
    return at == images_.end() ? nullptr : &*at;
  }
  std::optional<u64> word(u64 address) const {
    bool const inside = address >= stack_at_ && address - stack_at_ + 8 <= stack_.size();
    return inside ? std::optional{load_le<u64>(stack_, address - stack_at_)} : std::nullopt;
  }

  /// The caller of the current frame; nothing at the end.
  std::optional<StackFrame> step(bool innermost) {
    auto const* const image = image_at(rip_);
    if (image == nullptr) {
      // A call or a jump through a bad pointer: whoever made it left its return address on the stack.
      return innermost ? accept(word(r_[kRsp]), r_[kRsp] + 8, true) : std::nullopt;
    }
    PeView const view{*image->file};
    u64 const offset = rip_ - image->where.base;
    if (view.functions().empty()) {
      return by_frame_pointer(innermost);
    }
    auto const function = find(view, innermost ? offset : offset - 1);
    if (!function) {
      return without_data();
    }
    if (!undo(view, *function, offset)) {
      return std::nullopt;
    }
    return accept(word(r_[kRsp]), r_[kRsp] + 8, false);
  }

  /// A function that saves nothing has no data: its return address is the first word. One in assembly language that
  /// has none either may have pushed a few.
  std::optional<StackFrame> without_data() {
    constexpr u64 kPushed = 8;
    for (u64 i = 0; i < kPushed; ++i) {
      u64 const at = r_[kRsp] + 8 * i;
      if (auto const found = accept(word(at), at + 8, i != 0)) {
        return found;
      }
    }
    return std::nullopt;
  }

  /// Takes the return address over when it leads behind a call in an image.
  std::optional<StackFrame> accept(std::optional<u64> back, u64 rsp, bool guess) {
    if (!back || image_at(*back) == nullptr || !behind_call(*back)) {
      return std::nullopt;
    }
    rip_ = *back;
    r_[kRsp] = rsp;
    return StackFrame{rip_, guess};
  }

  std::optional<StackFrame> by_frame_pointer(bool innermost) {
    u64 const frame = r_[kRbp];
    if (innermost) {
      // Before the frame is made, and in functions without one, the return address may be the first word.
      auto const first = word(r_[kRsp]);
      if (first && frame != r_[kRsp] && image_at(*first) != nullptr && behind_call(*first)) {
        return accept(first, r_[kRsp] + 8, true);
      }
    }
    auto const caller = word(frame);
    if (frame < r_[kRsp] || !caller) {
      return std::nullopt;
    }
    auto const found = accept(word(frame + 8), frame + 16, true);
    if (found) {
      r_[kRbp] = *caller;
    }
    return found;
  }

  /// Whether a call ends at this address: E8 rel32, or FF /2 with two to seven bytes.
  bool behind_call(u64 address) const {
    auto const* const image = image_at(address);
    PeView const view{*image->file};
    u64 const offset = address - image->where.base;
    for (u64 bytes = 2; bytes <= 7 && bytes <= offset; ++bytes) {
      auto const code = view.at(offset - bytes);
      if (code.size() < bytes || !view.is_code(offset - bytes)) {
        continue;
      }
      u8 const first = load_le<u8>(code, 0);
      bool const prefixed = bytes > 2 && (first & 0xF0) == 0x40;
      u8 const opcode = load_le<u8>(code, prefixed ? 1 : 0);
      u8 const modrm = load_le<u8>(code, prefixed ? 2 : 1);
      if ((bytes == 5 && first == 0xE8) || (opcode == 0xFF && (modrm & 0x38) == 0x10)) {
        return true;
      }
    }
    return false;
  }

  static std::optional<Function> find(PeView const& view, u64 offset) {
    auto const table = view.functions();
    for (u64 low = 0, high = table.size() / kFunctionBytes; low < high;) {
      u64 const middle = low + (high - low) / 2;
      Function const f{load_le<u32>(table, middle * kFunctionBytes), load_le<u32>(table, middle * kFunctionBytes + 4),
                       load_le<u32>(table, middle * kFunctionBytes + 8)};
      if (offset < f.begin) {
        high = middle;
      } else if (offset >= f.end) {
        low = middle + 1;
      } else {
        return f;
      }
    }
    return std::nullopt;
  }

  /// Brings the registers back to what they were at the call: RSP points to the return address. False: malformed data.
  bool undo(PeView const& view, Function const& function, u64 offset) {
    Function f = function;
    u64 into = offset - f.begin;
    for (unsigned chained = 0; chained < 32; ++chained) {
      auto const info = view.at(f.info);
      if (info.size() < 4) {
        return false;
      }
      u8 const flags = load_le<u8>(info, 0) >> 3;
      u8 const codes = load_le<u8>(info, 2);
      if (info.size() < 4 + 2u * codes || !undo_codes(info, codes, into)) {
        return false;
      }
      constexpr u8 kChained = 4;
      if ((flags & kChained) == 0) {
        return true;
      }
      u64 const next = 4 + 2 * ((codes + 1u) & ~1u);
      f = {load_le<u32>(info, next), load_le<u32>(info, next + 4), load_le<u32>(info, next + 8)};
      into = ~u64{0};
    }
    return false;
  }

  bool undo_codes(Span info, u8 codes, u64 into) {
    for (unsigned i = 0; i < codes;) {
      u8 const at = load_le<u8>(info, 4 + 2 * i);
      u8 const operation = load_le<u8>(info, 5 + 2 * i) & 0xF;
      u8 const more = load_le<u8>(info, 5 + 2 * i) >> 4;
      u16 const word1 = load_le<u16>(info, 6 + 2 * i);
      u32 const long1 = load_le<u32>(info, 6 + 2 * i);
      unsigned const slots = slots_of(operation, more);
      bool const done = at <= into;  // else the prologue did not come to it
      if (done && !undo_one(info, operation, more, word1, long1)) {
        return false;
      }
      i += slots;
    }
    return true;
  }

  static unsigned slots_of(u8 operation, u8 more) {
    switch (operation) {
      case kAllocateLarge:
        return more == 0 ? 2 : 3;
      case kSaveNonVolatile:
      case kSaveXmm:
      case kEpilog:
        return 2;
      case kSaveNonVolatileFar:
      case kSaveXmmFar:
      case kSpare:
        return 3;
      default:
        return 1;
    }
  }

  bool undo_one(Span info, u8 operation, u8 more, u16 word1, u32 long1) {
    switch (operation) {
      case kPushNonVolatile:
        return take(more, r_[kRsp], 8);
      case kAllocateLarge:
        r_[kRsp] += more == 0 ? word1 * u64{8} : long1;
        return true;
      case kAllocateSmall:
        r_[kRsp] += more * u64{8} + 8;
        return true;
      case kSetFrame: {
        u8 const frame = load_le<u8>(info, 3);
        r_[kRsp] = r_[frame & 0xF] - (frame >> 4) * u64{16};
        return true;
      }
      case kSaveNonVolatile:
        return take(more, r_[kRsp] + word1 * u64{8}, 0);
      case kSaveNonVolatileFar:
        return take(more, r_[kRsp] + long1, 0);
      case kPushMachineFrame:
        return false;  // ring 3 has no such frame
      default:
        return true;
    }
  }

  /// Register `number` was saved at `address`; `popped` bytes leave the stack.
  bool take(u8 number, u64 address, u64 popped) {
    auto const value = word(address);
    if (!value) {
      return false;
    }
    r_[number & 0xF] = *value;
    r_[kRsp] += popped;
    return true;
  }

  std::span<UnwindImage const> images_;
  u64 stack_at_;
  Span stack_;
  u64 rip_;
  std::array<u64, 16> r_;
};

}  // namespace

std::vector<StackFrame> unwind(StoppedCode const& stopped, std::span<UnwindImage const> images) {
  return Unwinder{stopped, images}.run();
}

}  // namespace mm::lab
