// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "core/image/pe_headers.hpp"
#include "tools/lab/text/bytes.hpp"

/// A PE32+ file of one page of headers, a page of code at 0x1000 and a page of constants at 0x2000, for tests.
namespace mm::lab::test {

struct PeFile {
  Bytes bytes = Bytes(0x3000);

  PeFile() {
    put(0, u16{image::kDosMagic});
    put(image::kPeOffsetAt, u32{0x80});
    image::PeFileHeader head;
    head.signature = image::kPeMagic;
    head.machine = image::kMachineX64;
    head.sections = 2;
    head.optional_bytes = sizeof(image::PeOptionalHeader) + 16 * sizeof(image::PeDirectory);
    put(0x80, head);
    image::PeOptionalHeader optional;
    optional.magic = image::kPe32Plus;
    optional.image_base = 0x1'8000'0000;
    optional.size_of_image = 0x3000;
    optional.entry_point = 0x1000;
    optional.directories = 16;
    put(kOptional, optional);
    section(0, 0x1000, 0x6000'0020);
    section(1, 0x2000, 0x4000'0040);
  }

  template <typename T>
  void put(u64 at, T const& value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void put_bytes(u64 at, std::initializer_list<int> values) {
    for (int const value : values) {
      bytes[at++] = static_cast<std::byte>(value);
    }
  }
  void directory(u32 index, u32 rva, u32 size) {
    put(kOptional + sizeof(image::PeOptionalHeader) + index * 8, image::PeDirectory{rva, size});
  }
  std::shared_ptr<Bytes const> shared() const { return std::make_shared<Bytes const>(bytes); }

 private:
  static constexpr u64 kOptional = 0x80 + sizeof(image::PeFileHeader);

  void section(u32 index, u32 at, u32 characteristics) {
    image::PeSectionHeader s;
    s.virtual_size = s.raw_size = 0x1000;
    s.rva = s.raw_offset = at;
    s.characteristics = characteristics;
    put(kOptional + sizeof(image::PeOptionalHeader) + 16 * 8 + index * sizeof s, s);
  }
};

}  // namespace mm::lab::test
