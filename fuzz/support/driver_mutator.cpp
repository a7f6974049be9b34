// SPDX-License-Identifier: BSD-2-Clause-Patent
// Mutations that know what an input of `driver` is: messages come, go and change places, a message gets a part of
// another, and values of earlier replies.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>

#include "fuzz/support/compares.hpp"
#include "fuzz/support/driver_replies.hpp"
#include "tools/lab/fuzzing/driver_input.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace mm::fuzz {
namespace {

using lab::Bytes;
using lab::DriverMessage;

class DriverMutator {
 public:
  explicit DriverMutator(unsigned seed) : random_(seed) {}

  Bytes mutate(std::span<std::byte const> input, std::size_t most) {
    messages_ = lab::split_messages(input, lab::kMostDriverMessages, lab::kMostDriverBytes);
    for (unsigned n = below(4) == 0 ? 3 : 1; n != 0; --n) {
      change();
    }
    auto out = lab::join_messages(messages_);
    out.resize(std::min(out.size(), most));
    return out;
  }

 private:
  unsigned below(std::size_t limit) { return static_cast<unsigned>(random_() % limit); }
  std::ptrdiff_t any() { return static_cast<std::ptrdiff_t>(below(messages_.size())); }

  void change() {
    if (messages_.empty()) {
      messages_.push_back(fresh());
      return;
    }
    bool const last = below(3) == 0;  // the way to it is known
    auto const at = last ? messages_.end() - 1 : messages_.begin() + any();
    switch (below(20)) {
      case 0:
        messages_.insert(at + 1, fresh());
        break;
      case 1:
        repeat_message(*at);
        break;
      case 2:
        if (messages_.size() > 1) {
          messages_.erase(at);
        }
        break;
      case 3:
        std::iter_swap(at, messages_.begin() + any());
        break;
      case 4:
        at->handler = static_cast<u8>(random_() >> 8);
        break;
      case 5:
      case 6:
        put_reply(at->data);
        break;
      case 7:
        splice(at->data, messages_[below(messages_.size())].data);
        break;
      case 8:
        at->data.resize(new_size(at->data.size()));
        break;
      case 9:
        put_number(at->data);
        break;
      case 10:
      case 11:
        put_small_number(at->data);
        break;
      case 12:
      case 13:
        satisfy_compare(at->data);
        break;
      default:
        change_bytes(at->data);
        break;
    }
    messages_.resize(std::min(messages_.size(), lab::kMostDriverMessages));
  }

  /// The next step of a protocol often looks like the one before.
  void repeat_message(DriverMessage message) {
    if (below(3) != 0) {
      put_small_number(message.data);
    }
    if (below(2) != 0) {
      put_reply(message.data);
    }
    messages_.push_back(std::move(message));
  }
  DriverMessage fresh() {
    DriverMessage m;
    m.handler = static_cast<u8>(random_() >> 8);
    m.data.resize(std::size_t{1} << below(7));
    for (auto& b : m.data) {
      b = below(2) == 0 ? std::byte{0} : static_cast<std::byte>(random_() >> 8);
    }
    return m;
  }
  std::size_t new_size(std::size_t size) {
    constexpr std::size_t kSteps[] = {1, 4, 8, 16, 64, 512};
    std::size_t const step = kSteps[below(std::size(kSteps))];
    bool const shorter = below(2) == 0;
    return shorter ? size - std::min(size, step) : std::min(size + step, lab::kMostDriverBytes);
  }
  /// A value of a reply, where fields of messages lie: at multiples of four.
  void put_reply(Bytes& data) {
    auto const words = kept_words();
    if (words.empty()) {
      return change_bytes(data);
    }
    auto const& word = words[below(words.size())];
    std::size_t const width = below(4) == 0 ? 8 : 4;
    auto const value = std::span{word.bytes}.first(width);
    if (below(3) == 0) {
      return put(data, width, value);
    }
    data.resize(std::max(data.size(), word.offset + width));
    std::ranges::copy(value, data.begin() + static_cast<std::ptrdiff_t>(word.offset));
  }
  /// A length, an index or an address at which something begins or ends.
  void put_number(Bytes& data) {
    u64 const edge = u64{1} << below(64);
    u64 const value = below(3) == 0 ? data.size() + below(9) - 4 : edge + below(5) - 2;
    unsigned const width = 1u << below(4);
    Bytes bytes;
    lab::append_int(bytes, value, width);
    put(data, width, bytes);
  }
  /// A command, a count, a type.
  void put_small_number(Bytes& data) {
    unsigned const width = 1u << below(4);
    Bytes bytes;
    lab::append_int(bytes, below(16), width);
    put(data, width, bytes);
  }
  /// Where the message has one side of a compare, it gets the other, or what is just beside it.
  void satisfy_compare(Bytes& data) {
    auto const compares = recent_compares();
    if (compares.empty()) {
      return change_bytes(data);
    }
    Compare const one = compares[below(compares.size())];
    bool const swap = below(2) == 0;
    Bytes from, to;
    lab::append_int(from, swap ? one.right : one.left, one.bytes);
    u64 const beside = below(4) == 0 ? u64{below(3)} - 1 : 0;
    lab::append_int(to, (swap ? one.left : one.right) + beside, one.bytes);
    std::vector<std::size_t> places;
    for (auto at = data.begin(); (at = std::search(at, data.end(), from.begin(), from.end())) != data.end(); ++at) {
      places.push_back(static_cast<std::size_t>(at - data.begin()));
    }
    if (places.empty()) {
      return put(data, one.bytes, to);
    }
    std::ranges::copy(to, data.begin() + static_cast<std::ptrdiff_t>(places[below(places.size())]));
  }
  void put(Bytes& data, std::size_t width, std::span<std::byte const> value) {
    std::size_t const places = data.size() / std::max<std::size_t>(width, 4) + 1;
    std::size_t const at = below(places) * std::max<std::size_t>(width, 4);
    if (at + width > data.size()) {
      if (at + width > lab::kMostDriverBytes) {
        return;
      }
      data.resize(at + width);
    }
    std::copy_n(value.begin(), width, data.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void splice(Bytes& to, Bytes const& from) {
    if (from.empty()) {
      return;
    }
    Bytes const source = from;  // may be the same message
    std::size_t const at = below(source.size());
    std::size_t const bytes = 1 + below(source.size() - at);
    std::size_t const where = below(to.size() + 1);
    to.resize(std::min(std::max(to.size(), where + bytes), lab::kMostDriverBytes));
    std::copy_n(source.begin() + static_cast<std::ptrdiff_t>(at), std::min(bytes, to.size() - where),
                to.begin() + static_cast<std::ptrdiff_t>(where));
  }
  void change_bytes(Bytes& data) {
    constexpr std::size_t kRoom = 64;
    std::size_t const size = data.size();
    data.resize(std::min(size + kRoom, lab::kMostDriverBytes));
    data.resize(
        LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(data.data()), std::min(size, data.size()), data.size()));
  }

  std::minstd_rand random_;
  std::vector<DriverMessage> messages_;
};

}  // namespace
}  // namespace mm::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  auto const out = mm::fuzz::DriverMutator{seed}.mutate(std::as_bytes(std::span{data, size}), max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
