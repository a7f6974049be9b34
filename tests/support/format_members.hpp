// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/support/image_builder.hpp"

/// Seeded members of classes of files: well-formed, but for one thing. What is left of each is known.
namespace mm::test {

class Dice {
 public:
  explicit Dice(u64 seed) : random_(seed) {}
  u64 below(u64 n) { return random_() % n; }
  bool one_in(u64 n) { return below(n) == 0; }
  Blob bytes(u64 n) {
    Blob out(n);
    std::ranges::generate(out, [this] { return static_cast<std::byte>(random_()); });
    return out;
  }
  Guid guid() {
    Guid g{static_cast<u32>(random_()), static_cast<u16>(random_()), static_cast<u16>(random_()), {}};
    for (auto& b : g.data4) {
      b = static_cast<u8>(random_());
    }
    return g;
  }

 private:
  std::mt19937_64 random_;
};

/// What is wrong with one file of a volume, or with the way to the next.
enum class FileDamage : u8 {
  FixedChecksum,       ///< not AA in a file without a checksum
  Content,             ///< a byte of a file with one
  Header,              ///< a byte of the header
  NoSize,              ///< 0, or below the header
  TooLarge,            ///< beyond the volume
  HeaderValid,         ///< never finished
  HeaderConstruction,  ///< not even its header
  UnknownState,
  LargeInFfs2,
  Gap,  ///< free space before the next file
};
inline constexpr u64 kFileDamages = 10;

/// A volume of three to six files; one, and not the last, is damaged.
struct DamagedVolume {
  Blob bytes;
  FileDamage damage{};
  std::vector<Guid> sound;  ///< the other files, in their order
};

inline void seal_file_header(Blob& b, u64 at, u64 header) {
  put(b, at + 16, u8{0});
  u8 const sum = static_cast<u8>(image::sum8(image::slice(b, at, header)) - image::load_le<u8>(b, at + 17) -
                                 image::load_le<u8>(b, at + 23));
  put(b, at + 16, static_cast<u8>(-sum));
}

inline DamagedVolume damaged_volume(u64 seed) {
  Dice dice{seed};
  DamagedVolume out;
  out.damage = static_cast<FileDamage>(seed % kFileDamages);
  FvSpec spec;
  spec.inverted = !dice.one_in(3);
  spec.ffs3 = out.damage != FileDamage::LargeInFfs2 && dice.one_in(2);
  spec.ext_bytes = dice.one_in(3) ? 20 + dice.below(20) : 0;
  spec.free_bytes = 8 * dice.below(20);
  u64 const count = 3 + dice.below(4);
  u64 const victim = dice.below(count - 1);
  for (u64 i = 0; i < count; ++i) {
    // One after the other: compilers differ in the order of arguments, and the members are the same with each.
    Guid const name = dice.guid();
    u8 const type = dice.one_in(2) ? u8{0x02} : u8{0x07};
    auto const payload = dice.bytes(1 + dice.below(300));
    bool const large_section = dice.one_in(4);
    FileSpec file{name, type, section(0x19, payload, large_section), false, dice.one_in(2)};
    file.large = spec.ffs3 && dice.one_in(4);
    if (i == victim) {
      file.large = file.large || out.damage == FileDamage::LargeInFfs2;
      file.checksum = (file.checksum && out.damage != FileDamage::FixedChecksum) || out.damage == FileDamage::Content;
      file.state = out.damage == FileDamage::HeaderValid          ? u8{0x03}
                   : out.damage == FileDamage::HeaderConstruction ? u8{0x01}
                   : out.damage == FileDamage::UnknownState       ? u8{0x87}
                                                                  : file.state;
    }
    if (i != victim || out.damage == FileDamage::Gap) {
      out.sound.push_back(file.name);
    }
    spec.files.push_back(file);
  }
  // Where the victim is: the volume that ends with it says so.
  FvSpec before = spec;
  before.files.resize(victim);
  before.free_bytes = 0;
  u64 const at = before.build().size();
  out.bytes = spec.build();
  auto& b = out.bytes;
  bool const large = spec.files[victim].large;
  u64 const header = large ? 32 : 24;
  u64 const size = header + spec.files[victim].body.size();
  auto const set_size = [&](u64 value) {
    large ? put(b, at + 24, value) : put24(b, at + 20, value);
    seal_file_header(b, at, header);
  };
  auto const flip = [&](u64 where) { b[where] ^= static_cast<std::byte>(1 + dice.below(255)); };
  switch (out.damage) {
    case FileDamage::FixedChecksum:
      flip(at + 17);
      break;
    case FileDamage::Content:
      flip(at + header + dice.below(size - header));
      break;
    case FileDamage::Header:
      flip(at + (dice.one_in(4) ? 20 : dice.below(19)));
      b[at + 17] = spec.files[victim].checksum ? b[at + 17] : std::byte{0xAA};
      if (image::look_at_file(b, at, spec.inverted, spec.ffs3).header_summed) {
        flip(at);
      }
      break;
    case FileDamage::NoSize:
      set_size(dice.below(header));
      break;
    case FileDamage::TooLarge:
      set_size(large && dice.one_in(2) ? ~dice.below(4096) : b.size() - at + 1 + dice.below(4096));
      break;
    case FileDamage::Gap: {
      u64 const next = align_up(at + size, 8);
      b.insert(b.begin() + static_cast<std::ptrdiff_t>(next), 24 + 8 * dice.below(64),
               spec.inverted ? std::byte{0xFF} : std::byte{0});
      put(b, 32, static_cast<u64>(b.size()));
      put(b, 60, static_cast<u32>(b.size()));
      FvSpec::seal(b);
      break;
    }
    default:
      break;
  }
  return out;
}

/// What is wrong with the header of a volume.
enum class HeaderDamage : u8 { BlockMap, Checksum, Revision, Truncated };
inline constexpr u64 kHeaderDamages = 4;

/// A volume with a damaged header at any offset of a larger file; `sound` are its files that are there as a whole.
inline DamagedVolume misplaced_volume(u64 seed) {
  Dice dice{seed};
  FvSpec spec;
  spec.ffs3 = dice.one_in(2);
  for (u64 i = 0; i < 3; ++i) {
    spec.files.push_back({dice.guid(), 0x02, section(0x19, dice.bytes(40)), false, true});
  }
  DamagedVolume out;
  for (auto const& f : spec.files) {
    out.sound.push_back(f.name);
  }
  Blob volume = spec.build();
  switch (static_cast<HeaderDamage>(seed % kHeaderDamages)) {
    case HeaderDamage::BlockMap:
      put(volume, 60, static_cast<u32>(volume.size() + 8 * (1 + dice.below(100)) * (dice.one_in(2) ? 1u : ~0u)));
      FvSpec::seal(volume);
      break;
    case HeaderDamage::Checksum:
      put(volume, 50, static_cast<u16>(image::load_le<u16>(volume, 50) + 1 + dice.below(0xFFFF)));
      break;
    case HeaderDamage::Revision:
      put(volume, 55, u8{1});
      FvSpec::seal(volume);
      break;
    case HeaderDamage::Truncated:
      volume.resize(volume.size() - spec.free_bytes - 1 - dice.below(40));
      out.sound.pop_back();
      break;
  }
  out.bytes = Blob(dice.below(200), std::byte{0xFF});
  append(out.bytes, volume);
  if (static_cast<HeaderDamage>(seed % kHeaderDamages) != HeaderDamage::Truncated) {
    append(out.bytes, Blob(dice.below(200), std::byte{0xFF}));
  }
  return out;
}

/// An image with a section whose addresses reach beyond 4 GiB, or whose fields are at their ends.
inline Blob wrapping_image(u64 seed) {
  Dice dice{seed};
  PeSpec spec = clang_image();
  auto& s = spec.sections[dice.below(spec.sections.size())];
  u32 const end = static_cast<u32>(0) - static_cast<u32>(dice.below(0x40));
  s.rva = dice.one_in(2) ? end : 0xFFFF'F000;
  s.virtual_size = dice.one_in(3) ? 0xFFFF'FFFF : s.virtual_size + static_cast<u32>(dice.below(0x2000));
  s.characteristics = dice.one_in(2) ? kCode : s.characteristics;
  s.raw = dice.one_in(2) ? Blob(0x1000 + dice.below(64), static_cast<std::byte>(dice.one_in(2) ? 0xFA : 0xF4)) : s.raw;
  spec.size_of_image = dice.one_in(2) ? 0xFFFF'FFFF : 0;
  spec.entry = dice.one_in(2) ? s.rva : spec.entry;
  return spec.build();
}

/// A postfix dependency expression over at most four protocols, sometimes with one thing out of order.
inline Blob depex_member(u64 seed) {
  Dice dice{seed};
  std::vector<Guid> const protocols{dice.guid(), dice.guid(), dice.guid(), dice.guid()};
  Blob out;
  auto const op = [&out](int value) { out.push_back(static_cast<std::byte>(value)); };
  u64 depth = 0;
  for (u64 n = 1 + dice.below(12); n > 0 || depth > 1;) {
    if (depth >= 2 && (n == 0 || dice.one_in(2))) {
      op(dice.one_in(2) ? 3 : 4);
      --depth;
    } else if (depth >= 1 && dice.one_in(4)) {
      op(5);
    } else if (n > 0) {
      u64 const what = dice.below(4);
      op(what == 0 ? 6 : what == 1 ? 7 : 2);
      if (what > 1) {
        Guid const g = protocols[dice.below(protocols.size())];
        put(out, out.size(), g);
      }
      ++depth;
      --n;
    }
  }
  op(8);
  if (dice.one_in(3)) {
    // An opcode anywhere, or one less at the end.
    dice.one_in(4) ? out.pop_back()
                   : void(out.insert(out.begin() + static_cast<std::ptrdiff_t>(dice.below(out.size())),
                                     static_cast<std::byte>(dice.below(11))));
  }
  return out;
}

}  // namespace mm::test
