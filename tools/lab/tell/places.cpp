// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/places.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/abi/guids.hpp"
#include "tools/lab/symbols/symbolizer.hpp"
#include "tools/lab/symbols/unwind.hpp"

namespace mm::lab {
namespace {

namespace event = hal::event;

/// The file of which the image with this GUID was loaded.
ImageFile file_of(Prepared const& p, Guid const& guid) {
  auto const spec =
      std::ranges::find_if(p.scenario.images, [&](ImageSpec const& i) { return i.guid == guid && !i.fv; });
  if (spec != p.scenario.images.end()) {
    // Not owned: what was prepared outlives its run.
    return {spec->file, spec->content ? std::shared_ptr<Bytes const>{std::shared_ptr<void>{}, &*spec->content}
                                      : std::shared_ptr<Bytes const>{}};
  }
  auto const core = guid == guids::gMmSupervisorUserGuid ? "MmUserCore" : p.scenario.supervisor;
  return {p.images / (core + ".efi"), nullptr};
}

/// The four events with the registers behind event `at`; nothing when they are not all there.
std::optional<std::array<event::Registers, 4>> registers_behind(std::vector<hal::TraceEvent> const& trace,
                                                                std::size_t at, std::size_t& second) {
  std::array<event::Registers, 4> out;
  std::size_t next = 0;
  for (std::size_t i = at + 1; i < trace.size() && next < out.size(); ++i) {
    if (trace[i].cpu != trace[at].cpu) {
      continue;
    }
    if (trace[i].kind != hal::TraceKind::Registers) {
      return std::nullopt;
    }
    out[next] = hal::unpack<event::Registers>(trace[i]);
    second = next == 1 ? i : second;
    ++next;
  }
  return next == out.size() ? std::optional{out} : std::nullopt;
}

StoppedCode stopped_at(std::array<event::Registers, 4> const& told, sim::Ring3Stack const& stack) {
  auto const& [a, b, c, d] = told;
  StoppedCode out;
  out.registers = {a.values[0], a.values[2], a.values[3], a.values[1], b.values[2], b.values[1],
                   a.values[4], b.values[0], b.values[3], b.values[4], c.values[0], c.values[1],
                   c.values[2], c.values[3], c.values[4], d.values[0]};
  out.rip = d.values[1];
  out.stack_at = stack.rsp;
  out.stack = stack.bytes;
  return out;
}

}  // namespace

CodePlaces::CodePlaces(Prepared const& p, std::vector<hal::TraceEvent> const& trace) {
  for (auto const& e : trace) {
    if (e.kind == hal::TraceKind::ImageLoaded) {
      auto const loaded = hal::unpack<event::ImageLoaded>(e);
      images_.push_back({image_name(p, loaded.guid),
                         {loaded.base, loaded.bytes},
                         file_of(p, loaded.guid),
                         loaded.user == 1,
                         loaded.guid == guids::gMmSupervisorUserGuid || loaded.user != 1});
    }
  }
}

PlacedImage const* CodePlaces::image_at(u64 address) const {
  auto const at = std::ranges::find_if(images_, [&](PlacedImage const& i) { return i.where.contains({address, 1}); });
  return at == images_.end() ? nullptr : &*at;
}

std::string CodePlaces::names(u64 address) const {
  auto const* const image = image_at(address);
  if (image == nullptr) {
    return {};
  }
  u64 const offset = address - image->where.base;
  return frames_text(symbolizer().frames(image->file, offset), offset);
}

/// `back` is the address behind the call.
std::string CodePlaces::caller(u64 back, bool guess) const {
  auto const* const image = image_at(back);
  if (image == nullptr) {
    return fmt::format("called from {}", hex_number(back));
  }
  auto const where = fmt::format("{}+{}", image->name, hex_number(back - image->where.base));
  auto const known = names(back - 1);
  return fmt::format("called from {}{}{}", known.empty() ? where : known, known.empty() ? "" : " (" + where + ")",
                     guess ? ", which is a guess" : "");
}

std::vector<std::string> CodePlaces::callers(MachineRun const& run, std::size_t at) const {
  std::size_t second = 0;
  auto const told = registers_behind(run.trace, at, second);
  auto const stack = std::ranges::find(run.witness.stacks, second, &sim::Ring3Stack::event);
  if (!told || stack == run.witness.stacks.end()) {
    return {};
  }
  std::vector<UnwindImage> images;
  for (auto const& image : images_) {
    images.push_back({image.where, image.file.bytes()});
  }
  std::vector<std::string> out;
  auto const frames = unwind(stopped_at(*told, *stack), images);
  for (std::size_t i = 1; i < frames.size(); ++i) {
    out.push_back(caller(frames[i].rip, frames[i].guess));
  }
  return out;
}

std::string CodePlaces::asker(MachineRun const& run, std::size_t at) const {
  if (auto const all = callers(run, at); !all.empty()) {
    return all.front();
  }
  std::size_t second = 0;
  auto const told = registers_behind(run.trace, at, second);
  if (!told) {
    return {};
  }
  u64 const rip = told->back().values[1];
  auto const* const image = image_at(rip);
  auto const where =
      image == nullptr ? hex_number(rip) : fmt::format("{}+{}", image->name, hex_number(rip - image->where.base));
  auto const known = names(rip);
  return known.empty() ? "in " + where : fmt::format("in {} ({})", known, where);
}

}  // namespace mm::lab
