// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/file_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mm::lab {
namespace {

using image::FileLook;
using image::FileState;
using image::FvProblem;
using Span = std::span<std::byte const>;

constexpr u64 kSmallHeader = 24;

class Walk {
 public:
  Walk(Span volume, image::VolumeHeader const& header, std::size_t most)
      : volume_(volume), header_(header), most_(most), sum_budget_(4 * volume.size()), at_(header.first_file) {}

  WalkedVolume run() {
    while (!done_ && has_header(at_)) {
      if (out_.files.size() == most_) {
        out_.problems.push_back(fmt::format("more than {} files: the rest is not listed", most_));
        break;
      }
      step(look(at_));
    }
    supersede();
    return std::move(out_);
  }

 private:
  bool has_header(u64 at) const { return volume_.size() >= kSmallHeader && at <= volume_.size() - kSmallHeader; }
  FileLook look(u64 at) const { return image::look_at_file(volume_, at, header_.inverted, header_.ffs3); }

  void step(FileLook const& here) {
    switch (here.state) {
      case FileState::Free:
        return free_space();
      case FileState::HeaderInvalid:
        at_ = align_up(at_ + here.header, 8);
        return;
      case FileState::HeaderValid:
        return unfinished(here);
      case FileState::DataValid:
      case FileState::MarkedForUpdate:
      case FileState::Deleted:
        return file(here);
      case FileState::HeaderConstruction:
        break;
    }
    gap(fmt::format("at {:#x}: the header of a file that was never finished", at_), at_ + 8);
  }

  void take(FileLook const& here, std::vector<std::string> problems) {
    if (here.state != FileState::Deleted) {
      out_.files.push_back({here.file, std::move(problems), {}});
    }
    at_ = align_up(at_ + here.size, 8);
  }

  void file(FileLook const& here) {
    if (!here.problem) {
      return take(here, {});
    }
    auto const why = sentence(*here.problem);
    switch (here.problem->problem) {
      case FvProblem::FileChecksum:
        return take(here, {why});
      case FvProblem::FileLarge:
        if (here.header_summed && here.size_fits) {
          return take(here, {why});
        }
        break;
      case FvProblem::FileHeaderChecksum:
        if (here.size_fits && is_likely_size(here)) {
          return take(here, {why});
        }
        break;
      default:
        break;
    }
    gap(why, at_ + 8);
  }

  /// The header is written and the data may not be: nobody takes the file, and a loader ends here.
  void unfinished(FileLook const& here) {
    u64 const next = align_up(at_ + here.size, 8);
    bool const passable = here.header_summed && here.size_fits && begins_well(next);
    auto const what = fmt::format("at {:#x}: an unfinished file, its state is HEADER_VALID", at_);
    if (!passable) {
      return gap(what, at_ + 8);
    }
    if (has_header(next) && look(next).state != FileState::Free) {
      out_.problems.push_back(what + ": a loader ends the volume here, what is behind is listed");
    } else {
      out_.remarks.push_back(what);
    }
    at_ = next;
  }

  /// Free space ends a volume, unless something stands behind it.
  void free_space() {
    auto const erased = std::byte{header_.inverted ? u8{0xFF} : u8{0}};
    auto const rest = volume_.subspan(static_cast<std::size_t>(at_));
    auto const used = std::ranges::find_if(rest, [erased](std::byte b) { return b != erased; });
    if (used == rest.end()) {
      done_ = true;
      return;
    }
    u64 const first = at_ + static_cast<u64>(used - rest.begin());
    if (auto const next = next_file(first / 8 * 8)) {
      out_.problems.push_back(fmt::format(
          "free space at {:#x}, and a file behind it at {:#x}: a loader ends the volume here, what is behind is listed",
          at_, *next));
      at_ = *next;
      return;
    }
    out_.remarks.push_back(fmt::format("bytes behind the free space, from {:#x} on, which are no file", first));
    done_ = true;
  }

  /// Goes on at the next file behind what cannot be read.
  void gap(std::string const& why, u64 from) {
    if (auto const next = next_file(from)) {
      out_.problems.push_back(
          fmt::format("{}: a loader ends the volume here; a file is found again at {:#x}", why, *next));
      at_ = *next;
      return;
    }
    out_.problems.push_back(why + ": the rest of the volume is not listed" +
                            (sum_budget_ == 0 ? ", and was not searched to its end" : ""));
    done_ = true;
  }

  /// The next place from `from` on where everything about a file is right, checksums included.
  std::optional<u64> next_file(u64 from) {
    for (u64 at = align_up(from, 8); has_header(at) && sum_budget_ != 0; at += 8) {
      auto const here = look(at);
      u64 const summed = here.file.body.size();
      sum_budget_ -= std::min(sum_budget_, (here.file.attributes & 0x40) != 0 ? summed : 0);
      if (is_in_use(here) && !here.problem) {
        return at;
      }
    }
    return std::nullopt;
  }
  static bool is_in_use(FileLook const& here) {
    return here.state == FileState::DataValid || here.state == FileState::MarkedForUpdate ||
           here.state == FileState::Deleted;
  }

  /// Whether the size in a header whose sum is wrong may be right: it leads to the next file, or to the end or to free
  /// space with no file on the way.
  bool is_likely_size(FileLook const& here) {
    u64 const end = align_up(at_ + here.size, 8);
    if (has_header(end) && look(end).header_summed && look(end).size_fits) {
      return true;
    }
    auto const next = begins_well(end) ? next_file(at_ + 8) : std::optional<u64>{at_};
    return !next || *next >= end;
  }

  /// The end of the volume, free space, or a file header.
  bool begins_well(u64 at) const {
    if (!has_header(at)) {
      return at <= align_up(volume_.size(), 8);
    }
    auto const here = look(at);
    return here.state == FileState::Free || (here.header_summed && here.size_fits);
  }

  void supersede() {
    std::map<std::pair<std::string_view, u8>, u64> valid;
    auto const key = [](image::FvFile const& f, Span volume) {
      auto const name = volume.subspan(static_cast<std::size_t>(f.offset), sizeof(Guid));
      return std::pair{std::string_view{reinterpret_cast<char const*>(name.data()), name.size()}, f.type};
    };
    for (auto const& f : out_.files) {
      if (!f.file.marked_for_update && f.problems.empty()) {
        valid.emplace(key(f.file, volume_), f.file.offset);
      }
    }
    for (auto& f : out_.files) {
      if (auto const at = valid.find(key(f.file, volume_)); f.file.marked_for_update && at != valid.end()) {
        f.superseded_by = at->second;
      }
    }
  }

  Span volume_;
  image::VolumeHeader const& header_;
  std::size_t most_;
  u64 sum_budget_;  ///< bytes that a search for the next file may still sum up
  u64 at_;
  bool done_ = false;
  WalkedVolume out_;
};

}  // namespace

std::string sentence(image::FvError const& e) {
  return fmt::format("{} (at {:#x})", image::problem_text(e.problem), e.offset);
}

WalkedVolume walk_files(Span bytes, image::VolumeHeader const& header, std::size_t most) {
  return Walk{image::slice(bytes, 0, header.available), header, most}.run();
}

}  // namespace mm::lab
