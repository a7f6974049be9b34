// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/pe.hpp"
#include "core/image/rsm.hpp"
#include "core/loader/arena.hpp"
#include "core/loader/volume.hpp"
#include "hal/roles/trace.hpp"

namespace mm::loader {

/// An image in MMRAM.
struct Loaded {
  u64 base = 0;
  u64 bytes = 0;  ///< whole pages
  u64 entry = 0;
};

/// Puts PE images of the volume into MMRAM: placed, copied, relocated and mapped by section. Tells the trace of each.
template <hal::PhysMemory Mem, class Trace>
class ImageLoader {
 public:
  /// `strict_rsm`: refuse ring-3 images that hold 0F AA at any byte of an executable page.
  ImageLoader(Mem& memory, Arena<Mem>& arena, Volume volume, bool strict_rsm, Trace& trace) noexcept
      : memory_(memory), arena_(arena), volume_(volume), strict_rsm_(strict_rsm), trace_(trace) {}

  /// The first core file of the name; later ones are ignored. `missing`: the problem when there is none.
  Result<Loaded> load_core(Guid const& name, bool user, LoadProblem missing) noexcept {
    bool found = false;
    Loaded core;
    MM_TRY(volume_.each_file([&](image::FvFile const& file) -> Result<void> {
      if (found || !Volume::is_core(file) || file.name != name) {
        return {};
      }
      found = true;
      MM_TRY_ASSIGN(core, load_file(file, user));
      return {};
    }));
    if (!found) {
      return fail(missing, Status::NotFound, 0, name);
    }
    return core;
  }

  /// The PE32 section of `file`. NoPe32Section, OutOfMmram, ImageRsm, and what is wrong with an image (problems.hpp).
  Result<Loaded> load_file(image::FvFile const& file, bool user) noexcept {
    Result<Loaded> loaded = place(file, user);
    if (!loaded) {
      loaded.error().file = file.name;
    }
    tell(file.name, loaded, user);
    return loaded;
  }

 private:
  void tell(Guid const& name, Result<Loaded> const& loaded, bool user) noexcept {
    if (loaded) {
      trace_(hal::pack(hal::event::ImageLoaded{loaded->base, loaded->bytes, name, u64{user}}, 0, 0));
    } else {
      auto const& why = loaded.error();
      trace_(hal::pack(hal::event::ImageRefused{static_cast<u64>(why.problem), why.status, name}, 0, 0));
    }
  }

  Result<Loaded> place(image::FvFile const& file, bool user) noexcept {
    MM_TRY_ASSIGN(auto const section, volume_.section_of(file, image::section_type::kPe32));
    if (!section) {
      return fail(LoadProblem::NoPe32Section, Status::NotFound, file.offset);
    }
    auto const image = image::PeImage::parse(section->body);
    if (!image) {
      return fail(load_problem(image.error().problem), Status::LoadError, image.error().offset);
    }
    u64 const pages = pages_for(image->size_of_image());
    MM_TRY_ASSIGN(u64 const base, arena_.allocate(pages, image->section_alignment()));
    Range const range{base, pages << kPageShift};
    copy(*image, base);
    relocate(*image, base);
    MM_TRY(map(*image, range, user));
    if (user && strict_rsm_) {
      MM_TRY(refuse_rsm(range));
    }
    return Loaded{base, range.size, base + image->entry_rva()};
  }

  void copy(image::PeImage const& image, u64 base) noexcept {
    memory_.write(PhysAddr{base}, image::slice(image.file(), 0, image.size_of_headers()));
    for (u32 i = 0; i < image.section_count(); ++i) {
      image::Bytes const bytes = image.section_bytes(i);
      if (!bytes.empty()) {
        memory_.write(PhysAddr{base + image.section(i).rva}, bytes);
      }
    }
  }

  void relocate(image::PeImage const& image, u64 base) noexcept {
    u64 const delta = base - image.image_base();
    image.for_each_relocation([this, base, delta](image::PeRelocation r) {
      PhysAddr const at{base + r.rva};
      if (r.width == 8) {
        hal::write_object(memory_, at, hal::read_object<u64>(memory_, at) + delta);
      } else {
        hal::write_object(memory_, at, static_cast<u32>(hal::read_object<u32>(memory_, at) + delta));
      }
    });
  }

  /// Code RX, writable data RW NX, all the rest (headers, read-only data, gaps) R NX.
  Result<void> map(image::PeImage const& image, Range range, bool user) noexcept {
    MM_TRY(arena_.map(range, memory::PageAttr{true, false, user, false}));
    for (u32 i = 0; i < image.section_count(); ++i) {
      image::PeSection const s = image.section(i);
      if (s.virtual_size != 0 && (s.writable() || s.executable())) {
        Range const pages{range.base + s.rva, align_up(s.virtual_size, kPageSize)};
        MM_TRY(arena_.map(pages, memory::PageAttr{true, s.writable(), user, s.executable()}));
      }
    }
    return {};
  }

  Result<void> refuse_rsm(Range range) noexcept {
    image::RsmScanner scanner;
    std::optional<u64> found;
    std::array<std::byte, 256> piece;
    for (u64 at = 0; at < range.size; at += piece.size()) {
      auto const attr = arena_.tables().query(range.base + at);
      if (!attr || !attr->executable) {
        scanner.restart();
        continue;
      }
      memory_.read(PhysAddr{range.base + at}, piece);
      scanner.feed(piece, at, [&found](u64 rva) { found = found.value_or(rva); });
    }
    if (found) {
      return fail(LoadProblem::ImageRsm, Status::SecurityViolation, *found);
    }
    return {};
  }

  Mem& memory_;
  Arena<Mem>& arena_;
  Volume volume_;
  bool strict_rsm_;
  Trace& trace_;
};

}  // namespace mm::loader
