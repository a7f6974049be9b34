// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/minimise.hpp"

#include <algorithm>
#include <bit>

namespace mm::lab {
namespace {

class Minimiser {
 public:
  using Still = std::function<bool(std::span<DriverMessage const>)>;
  Minimiser(std::vector<DriverMessage> messages, std::size_t budget, Still const& still)
      : best_(std::move(messages)), budget_(budget), still_(still) {}

  Minimised run() {
    std::size_t before = 0;
    do {
      before = weight();
      drop_messages();
      for (std::size_t i = 0; i < best_.size(); ++i) {
        drop_bytes(best_[i].data, attempts(i));
      }
    } while (weight() < before && !over());
    for (std::size_t i = 0; i < best_.size(); ++i) {
      zero_bytes(best_[i].data, attempts(i));
    }
    return {std::move(best_), tries_};
  }

 private:
  bool over() const { return tries_ >= budget_; }
  std::size_t weight() const {
    std::size_t sum = 0;
    for (auto const& m : best_) {
      sum += kDriverHeadBytes + m.data.size();
    }
    return sum;
  }
  /// Keeps `candidate` when it does the same.
  bool take(std::vector<DriverMessage> candidate) {
    if (over()) {
      return false;
    }
    ++tries_;
    if (!still_(candidate)) {
      return false;
    }
    best_ = std::move(candidate);
    return true;
  }
  void drop_messages() {
    for (std::size_t i = best_.size(); i-- > 0 && best_.size() > 1;) {
      auto candidate = best_;
      candidate.erase(candidate.begin() + static_cast<std::ptrdiff_t>(i));
      take(std::move(candidate));
    }
  }
  /// Of the bytes of one message.
  Attempts attempts(std::size_t message) {
    return {[this] { return over(); },
            [this, message](Bytes const& data) {
              auto candidate = best_;
              candidate[message].data = data;
              return take(std::move(candidate));
            }};
  }

  std::vector<DriverMessage> best_;
  std::size_t budget_;
  Still const& still_;
  std::size_t tries_ = 0;
};

}  // namespace

Minimised minimise(std::vector<DriverMessage> messages, std::size_t budget,
                   std::function<bool(std::span<DriverMessage const>)> const& still) {
  return Minimiser{std::move(messages), budget, still}.run();
}

void drop_bytes(Bytes data, Attempts const& attempts) {
  for (std::size_t run = std::bit_floor(data.size()); run != 0; run /= 2) {
    for (std::size_t end = data.size(); end >= run && !attempts.over(); end -= run) {
      auto candidate = data;
      auto const to = candidate.begin() + static_cast<std::ptrdiff_t>(end);
      candidate.erase(to - static_cast<std::ptrdiff_t>(run), to);
      if (attempts.take(candidate)) {
        data = std::move(candidate);
      }
    }
  }
}

void zero_bytes(Bytes data, Attempts const& attempts) {
  for (std::size_t run = std::bit_floor(data.size()); run != 0; run /= 2) {
    for (std::size_t at = 0; at + run <= data.size() && !attempts.over(); at += run) {
      auto candidate = data;
      auto const part = std::span{candidate}.subspan(at, run);
      if (std::ranges::all_of(part, [](std::byte b) { return b == std::byte{0}; })) {
        continue;
      }
      std::ranges::fill(part, std::byte{0});
      if (attempts.take(candidate)) {
        data = std::move(candidate);
      }
    }
  }
}

}  // namespace mm::lab
