// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/qemu_rom/acpi_tables.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace mm::rom {
namespace {

using Bytes = std::vector<std::byte>;

/// Files by name; a key is a file's number.
struct Files {
  std::map<std::string, Bytes> files;
  bool broken = false;

  std::optional<FwCfgFile> find(char const* name) {
    u16 key = 0;
    for (auto const& [called, bytes] : files) {
      ++key;
      if (called == name) {
        return FwCfgFile{key, static_cast<u32>(bytes.size())};
      }
    }
    return std::nullopt;
  }
  bool read(FwCfgFile file, std::span<std::byte> to) {
    auto at = files.begin();
    std::advance(at, file.key - 1);
    std::copy_n(at->second.begin(), to.size(), to.begin());
    return !broken;
  }
};

/// One command of 128 bytes.
struct Command : Bytes {
  explicit Command(u32 number) : Bytes(128) { put(0, number); }
  template <typename T>
  Command& put(std::size_t at, T value) {
    std::memcpy(data() + at, &value, sizeof value);
    return *this;
  }
  Command& name(std::size_t at, char const* text) {
    std::memcpy(data() + at, text, std::strlen(text));
    return *this;
  }
};
Command allocate(char const* file, u32 alignment = 16) { return Command{1}.name(4, file).put(60, alignment); }
Command pointer(char const* in, char const* to, u32 offset, u8 size = 8) {
  return Command{2}.name(4, in).name(60, to).put(116, offset).put(120, size);
}
Command checksum(char const* file, u32 offset, u32 start, u32 length) {
  return Command{3}.name(4, file).put(60, offset).put(64, start).put(68, length);
}

class AcpiTablesTest : public testing::Test {
 protected:
  char const* place(std::vector<Command> const& script) {
    Bytes& loader = files_.files["etc/table-loader"];
    for (Command const& command : script) {
      loader.insert(loader.end(), command.begin(), command.end());
    }
    files_.files["etc/acpi/rsdp"] = Bytes(36);
    files_.files["etc/acpi/tables"] = Bytes(300, std::byte{1});
    return tables_.place();
  }
  template <typename T>
  T at(u64 address) const {
    T value;
    std::memcpy(&value, reinterpret_cast<void const*>(address), sizeof value);
    return value;
  }

  Files files_;
  alignas(4096) std::array<std::byte, 8192> room_{};
  AcpiTables<Files> tables_{files_, room_};
};

TEST_F(AcpiTablesTest, PlacesLinksAndSums) {
  ASSERT_EQ(place({allocate("etc/acpi/rsdp"), allocate("etc/acpi/tables", 64),
                   pointer("etc/acpi/rsdp", "etc/acpi/tables", 24), checksum("etc/acpi/tables", 9, 0, 300),
                   checksum("etc/acpi/rsdp", 8, 0, 20), Command{0}, Command{99}}),
            nullptr);
  u64 const rsdp = tables_.rsdp();
  EXPECT_EQ(rsdp, reinterpret_cast<u64>(room_.data()));
  u64 const tables = at<u64>(rsdp + 24);
  EXPECT_EQ(tables, rsdp + 64);
  u8 sum = 0;
  for (u64 i = 0; i < 300; ++i) {
    sum = static_cast<u8>(sum + at<u8>(tables + i));
  }
  EXPECT_EQ(sum, 0);
}

TEST_F(AcpiTablesTest, APointerAddsToWhatTheFieldHolds) {
  ASSERT_EQ(place({allocate("etc/acpi/rsdp"), allocate("etc/acpi/tables"),
                   pointer("etc/acpi/tables", "etc/acpi/rsdp", 292, 8)}),
            nullptr);
  EXPECT_EQ(at<u64>(tables_.rsdp() + 48 + 292), 0x0101'0101'0101'0101 + tables_.rsdp());
}

TEST_F(AcpiTablesTest, RefusesWhatLiesOutside) {
  struct Case {
    Command command;
    char const* word;
  };
  std::string const endless(56, 'x');
  for (Case const& c :
       {Case{allocate("none"), "missing"}, Case{allocate(endless.c_str()), "missing"},
        Case{allocate("etc/acpi/tables", 0), "power of two"}, Case{allocate("etc/acpi/tables", 48), "power of two"},
        Case{allocate("etc/acpi/tables", 1u << 31), "larger than their place"},
        Case{pointer("etc/acpi/rsdp", "none", 0), "pointer"}, Case{pointer("none", "etc/acpi/rsdp", 0), "pointer"},
        Case{pointer("etc/acpi/rsdp", "etc/acpi/rsdp", 29), "pointer"},
        Case{pointer("etc/acpi/rsdp", "etc/acpi/rsdp", 0xFFFF'FFFF), "pointer"},
        Case{pointer("etc/acpi/rsdp", "etc/acpi/rsdp", 0, 3), "pointer"},
        Case{checksum("etc/acpi/rsdp", 36, 0, 1), "checksum"}, Case{checksum("etc/acpi/rsdp", 0, 37, 0), "checksum"},
        Case{checksum("etc/acpi/rsdp", 0, 1, 36), "checksum"}, Case{checksum("none", 0, 0, 0), "checksum"}}) {
    Files files;
    files.files["etc/acpi/rsdp"] = Bytes(36);
    files.files["etc/acpi/tables"] = Bytes(300);
    Bytes& loader = files.files["etc/table-loader"] = allocate("etc/acpi/rsdp");
    loader.insert(loader.end(), c.command.begin(), c.command.end());
    AcpiTables<Files> tables{files, room_};
    char const* const problem = tables.place();
    ASSERT_NE(problem, nullptr) << c.word;
    EXPECT_NE(std::string{problem}.find(c.word), std::string::npos) << problem;
  }
}

TEST_F(AcpiTablesTest, RefusesAScriptThatIsNone) {
  EXPECT_STREQ(tables_.place(), "there is no etc/table-loader");
  for (std::size_t const bytes : {127u, 8192u}) {
    Files files;
    files.files["etc/table-loader"] = Bytes(bytes);
    AcpiTables<Files> tables{files, room_};
    EXPECT_STREQ(tables.place(), "etc/table-loader: its size is no number of commands");
  }
  Files unreadable;
  unreadable.files["etc/table-loader"] = Bytes(128);
  unreadable.broken = true;
  EXPECT_STREQ((AcpiTables<Files>{unreadable, room_}.place()), "etc/table-loader cannot be read");
  EXPECT_STREQ(place({}), "etc/table-loader places no etc/acpi/rsdp");
}

TEST_F(AcpiTablesTest, RefusesMoreTablesThanItHasRoomFor) {
  std::vector<Command> const many(17, allocate("etc/acpi/rsdp"));
  char const* const problem = place(many);
  ASSERT_NE(problem, nullptr);
  EXPECT_NE(std::string{problem}.find("one too many"), std::string::npos);
}

}  // namespace
}  // namespace mm::rom
