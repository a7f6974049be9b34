// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/pe_view.hpp"

#include <gtest/gtest.h>

#include "tests/unit/symbols/pe_file.hpp"

namespace mm::lab {
namespace {

/// A debug directory at 0x2000 whose record is at file offset 0x2100.
test::PeFile with_record(std::string const& signature, std::size_t head, std::string const& path) {
  test::PeFile file;
  file.directory(6, 0x2000, 28);
  file.put(0x2000 + 12, u32{2});
  file.put(0x2000 + 24, u32{0x2100});
  std::memcpy(file.bytes.data() + 0x2100, signature.data(), 4);
  std::memcpy(file.bytes.data() + 0x2100 + head, path.data(), path.size());
  return file;
}

TEST(PeView, DebugPathOfAPdbAndOfGenFw) {
  auto const pdb = with_record("RSDS", 24, "C:\\build\\My.pdb");
  EXPECT_EQ(PeView{pdb.bytes}.debug_path(), "C:\\build\\My.pdb");
  EXPECT_TRUE(PeView{pdb.bytes}.names_pdb());
  auto const elf = with_record("NB10", 16, "/build/DEBUG/My.dll");
  EXPECT_EQ(PeView{elf.bytes}.debug_path(), "/build/DEBUG/My.dll");
  EXPECT_FALSE(PeView{elf.bytes}.names_pdb());
}

TEST(PeView, DirectoriesThatLeadNowhereAreNotThere) {
  test::PeFile file;
  EXPECT_FALSE(PeView{file.bytes}.debug_path());
  EXPECT_TRUE(PeView{file.bytes}.functions().empty());
  file.directory(3, 0xFFFF'F000, 0x1000);
  file.directory(6, 0xFFFF'F000, 0x1000);
  EXPECT_FALSE(PeView{file.bytes}.debug_path());
  EXPECT_TRUE(PeView{file.bytes}.functions().empty());
  file.directory(3, 0x2F00, 0x1000);
  EXPECT_EQ(PeView{file.bytes}.functions().size(), 0x100u);
  auto cut = with_record("RSDS", 24, "My.pdb");
  cut.put(0x2000 + 24, u32{0x2FFF});
  EXPECT_FALSE(PeView{cut.bytes}.debug_path());
}

TEST(PeView, CodeAndWhereBytesOfTheFileAreLoaded) {
  test::PeFile const file;
  PeView const view{file.bytes};
  EXPECT_EQ(view.image_base(), 0x1'8000'0000u);
  EXPECT_TRUE(view.is_code(0x1FFF));
  EXPECT_FALSE(view.is_code(0x2000));
  EXPECT_EQ(view.loaded_at(0x1010), 0x1010u);
  EXPECT_FALSE(view.loaded_at(0x10));
  ASSERT_EQ(view.code().size(), 1u);
  EXPECT_EQ(view.code().front(), (Range{0x1000, 0x1000}));
  EXPECT_TRUE(PeView{Bytes{}}.code().empty());
}

}  // namespace
}  // namespace mm::lab
