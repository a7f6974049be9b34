// SPDX-License-Identifier: BSD-2-Clause-Patent
// What must hold for every guest image as a file: no page writable and executable, no imports, no start-up code.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.hpp"

namespace {

using namespace mm;
namespace fs = std::filesystem;

using Bytes = std::vector<char>;

Bytes load_file(fs::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

template <typename T>
T get(Bytes const& file, std::size_t at) {
  T value{};
  if (at <= file.size() && sizeof(T) <= file.size() - at) {
    std::memcpy(&value, file.data() + at, sizeof(T));
  } else {
    ADD_FAILURE() << "the file ends before byte " << at;
  }
  return value;
}

struct Section {
  std::string name;
  u32 flags;
};

/// The fields of a PE32+ file that the tests ask for (PE format, Microsoft). Read by offset and not by core/image, on
/// purpose: what core's reader has wrong must not be right here.
struct Pe {
  explicit Pe(Bytes const& file) {
    std::size_t const nt = get<u32>(file, 0x3C);
    signature = get<u32>(file, nt);
    machine = get<u16>(file, nt + 4);
    std::size_t const optional = nt + 24;
    magic = get<u16>(file, optional);
    alignment = get<u32>(file, optional + 32);
    import_bytes = get<u32>(file, optional + 112 + 1 * 8 + 4);
    tls_bytes = get<u32>(file, optional + 112 + 9 * 8 + 4);
    std::size_t const table = optional + get<u16>(file, nt + 20);
    for (std::size_t i = 0; i < get<u16>(file, nt + 6); ++i) {
      char name[9] = {};
      for (std::size_t c = 0; c < 8; ++c) {
        name[c] = get<char>(file, table + i * 40 + c);
      }
      sections.push_back({name, get<u32>(file, table + i * 40 + 36)});
    }
  }

  u32 signature, alignment, import_bytes, tls_bytes;
  u16 machine, magic;
  std::vector<Section> sections;
};

std::vector<fs::path> images() {
  std::vector<fs::path> found;
  for (auto const& entry : fs::directory_iterator(MM_TEST_IMAGE_DIR)) {
    std::string const name = entry.path().filename().string();
    if (name.ends_with(".efi") && !name.ends_with(".debug.efi")) {
      found.push_back(entry.path());
    }
  }
  return found;
}

TEST(Images, AreX64WithPageSizedSections) {
  ASSERT_FALSE(images().empty());
  for (auto const& path : images()) {
    SCOPED_TRACE(path.filename().string());
    Pe const pe{load_file(path)};
    EXPECT_EQ(pe.signature, 0x4550u);
    EXPECT_EQ(pe.machine, 0x8664u);
    EXPECT_EQ(pe.magic, 0x20Bu);
    EXPECT_EQ(pe.alignment, 4096u);
  }
}

TEST(Images, HaveNoWritableAndExecutableSection) {
  constexpr u32 kExecute = 0x2000'0000, kWrite = 0x8000'0000;
  for (auto const& path : images()) {
    SCOPED_TRACE(path.filename().string());
    for (Section const& section : Pe{load_file(path)}.sections) {
      EXPECT_NE(section.flags & (kExecute | kWrite), kExecute | kWrite) << section.name;
    }
  }
}

TEST(Images, NeedNothingFromALoaderBeyondRelocations) {
  for (auto const& path : images()) {
    SCOPED_TRACE(path.filename().string());
    Pe const pe{load_file(path)};
    EXPECT_EQ(pe.import_bytes, 0u);
    EXPECT_EQ(pe.tls_bytes, 0u);
    for (Section const& section : pe.sections) {
      EXPECT_FALSE(section.name.starts_with(".CRT") || section.name.starts_with(".ctors") ||
                   section.name.starts_with(".idata"))
          << section.name;
    }
  }
}

/// A strict loader takes no image with the bytes of RSM, by chance or not: a displacement was once 0F AA. Whatever
/// moves a function of the user core makes them go.
TEST(Images, TheUserCoreHasNoBytesOfRsm) {
  Bytes const file = load_file(fs::path(MM_TEST_IMAGE_DIR) / "MmUserCore.efi");
  ASSERT_FALSE(file.empty());
  std::string_view const bytes(file.data(), file.size());
  EXPECT_EQ(bytes.find("\x0F\xAA"), std::string_view::npos);
}

TEST(MmiEntry, EndsWithAVersion5Trailer) {
  Bytes const file = load_file(fs::path(MM_TEST_IMAGE_DIR) / "MmiEntry.bin");
  ASSERT_GT(file.size(), 134u);
  EXPECT_EQ(get<u32>(file, file.size() - 4), 130u);
  std::size_t const header = file.size() - 134;
  EXPECT_EQ(get<u32>(file, header), 5u);
  u8 const expected[] = {22, 4, 38, 7, 94, 7, 122, 8};  // offset and count of the four arrays
  for (std::size_t i = 0; i < sizeof expected; ++i) {
    EXPECT_EQ(get<u8>(file, header + 4 + i), expected[i]) << i;
  }
  EXPECT_EQ(get<u16>(file, header + 12), 0x0200u);
  EXPECT_EQ(get<u16>(file, header + 22), 6u) << "bytes of the far jump's operand";
  std::size_t const jump = get<u16>(file, header + 24);
  EXPECT_EQ(get<u8>(file, jump - 1), 0xEAu) << "the fix-up follows the opcode of a far jump";
  constexpr u32 kMovAxData32 = 0x0020B866;
  EXPECT_EQ(get<u32>(file, get<u32>(file, jump) - 0x8000), kMovAxData32) << "it leads to the 32-bit code of SMBASE 0";
  EXPECT_EQ(get<u16>(file, jump + 4), 8u);
}

TEST(Rom, IsOneFlashOf256KiBWithAResetJump) {
  Bytes const file = load_file(fs::path(MM_TEST_IMAGE_DIR) / "mm-q35.rom");
  ASSERT_EQ(file.size(), 256u << 10);
  EXPECT_EQ(get<u8>(file, file.size() - 16), 0xE9u);
}

}  // namespace
