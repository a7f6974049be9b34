// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/scan.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "tests/support/image_builder.hpp"
#include "tools/lab/scan/scan_code.hpp"

namespace mm::lab {
namespace {

using test::Blob;
using test::bytes_of;

/// An image of this code, with data behind it.
Blob image(Blob code, Blob data = Blob(16)) {
  test::PeSpec s;
  u32 const code_bytes = static_cast<u32>(code.size());
  u32 const data_bytes = static_cast<u32>(data.size());
  s.sections = {{0x1000, code_bytes, std::move(code), test::kCode}, {0x2000, data_bytes, std::move(data), test::kData}};
  return s.build();
}

ScanReport scan(Blob const& file, std::optional<Blob> const& depex = bytes_of({6, 8}), std::optional<u8> type = {}) {
  ScanInput input{"x.efi", file, {}, type};
  if (depex) {
    input.depex = *depex;
  }
  auto report = scan_image(input);
  EXPECT_TRUE(report.has_value());
  return report ? *report : ScanReport{};
}

/// Rules in order, and the text of the first finding of `rule`.
std::multiset<std::string> rules(ScanReport const& report) {
  std::multiset<std::string> out;
  for (auto const& f : report.findings) {
    out.insert(std::string{f.rule->id});
  }
  return out;
}
std::string text_of(ScanReport const& report, std::string_view rule) {
  for (auto const& f : report.findings) {
    if (f.rule->id == rule) {
      return f.text;
    }
  }
  return "";
}
using Rules = std::multiset<std::string>;

TEST(Scan, ACleanDriverHasNoFinding) {
  EXPECT_TRUE(scan(image(bytes_of({0x31, 0xC0, 0xC3}))).findings.empty());
  EXPECT_EQ(rules(scan(image(bytes_of({0xC3})), std::nullopt)), (Rules{"no-depex"}));
}

TEST(Scan, PrivilegedAndPolicyInstructionsWithTheirPortAndMsr) {
  auto const r = scan(image(bytes_of({0xB9, 0xA0, 0x01, 0x00, 0x00, 0x0F, 0x32,  // mov ecx, 1A0h; rdmsr
                                      0x66, 0xBA, 0x80, 0x00, 0xEE,              // mov dx, 80h; out dx, al
                                      0xE4, 0x71,                                // in al, 71h
                                      0x0F, 0x22, 0xD8,                          // mov cr3, rax
                                      0x0F, 0x01, 0x08,                          // sidt [rax]
                                      0xF0, 0x90, 0xC3})));
  EXPECT_EQ(rules(r), (Rules{"policy-instruction", "policy-instruction", "policy-instruction", "privileged-instruction",
                             "umip-instruction", "lock-form"}));
  EXPECT_EQ(text_of(r, "policy-instruction"), "rdmsr of MSR 0x1a0 at (nameless)+0x5");
  EXPECT_EQ(r.findings[1].text, "out of port 0x80 at (nameless)+0xb");
  EXPECT_EQ(r.findings[2].text, "in of port 0x71 at (nameless)+0xc");
  EXPECT_EQ(text_of(r, "privileged-instruction"), "mov cr3, rax at (nameless)+0xe");
  EXPECT_EQ(r.findings[0].offset, 0x1005u);
  EXPECT_EQ(r.findings[0].bytes, 2u);
}

TEST(Scan, OnlyWhatAPathReachesIsAnError) {
  // jmp over 4 bytes (rdmsr; cli; hlt); ret
  auto const r = scan(image(bytes_of({0xEB, 0x04, 0x0F, 0x32, 0xFA, 0xF4, 0xC3})));
  EXPECT_EQ(rules(r), Rules{"unreached-instruction"}) << "one-byte opcodes may be data";
  EXPECT_FALSE(r.has(ScanLevel::Error));
}

TEST(Scan, AFunctionThatOnlyAPointerLeadsTo) {
  // lea rax, [rip+3]; ret; nop; nop; cli; ret
  auto const r = scan(image(bytes_of({0x48, 0x8D, 0x05, 0x03, 0, 0, 0, 0xC3, 0x90, 0x90, 0xFA, 0xC3})));
  EXPECT_EQ(rules(r), Rules{"policy-instruction"});
  // The same pointer to a text: "no" is OUTSB, OUTSD.
  EXPECT_TRUE(
      scan(image(bytes_of({0x48, 0x8D, 0x05, 0x03, 0, 0, 0, 0xC3, 0x90, 0x90, 'n', 'o', 0, 0}))).findings.empty());
}

TEST(Scan, SaysWhenAnInstructionFaults) {
  auto const verdict = [](std::initializer_list<int> code, Blob const& depex = bytes_of({6, 8})) {
    return scan(image(bytes_of(code)), depex).verdict();
  };
  constexpr std::string_view kWithAMessage =
      "is loaded and starts; it faults when a message makes it execute such an instruction";
  constexpr std::string_view kMaybeAtStart =
      "is loaded and started; it faults when it comes to such an instruction, in its entry point already or with a "
      "message";
  EXPECT_EQ(verdict({0xC3}), "nothing that stands against a try");
  // lea rax, [rip+3]; ret; nop; nop; cli; ret
  EXPECT_EQ(verdict({0x48, 0x8D, 0x05, 0x03, 0, 0, 0, 0xC3, 0x90, 0x90, 0xFA, 0xC3}), kWithAMessage);
  // lea rax, [rip+6]; call +1; ret; cli; ret: the same function is called as well
  EXPECT_EQ(verdict({0x48, 0x8D, 0x05, 0x06, 0, 0, 0, 0xE8, 0x01, 0, 0, 0, 0xC3, 0xFA, 0xC3}), kMaybeAtStart);
  EXPECT_EQ(verdict({0xFA, 0xC3}), kMaybeAtStart);
  EXPECT_EQ(verdict({0xFA, 0xC3}, bytes_of({6})), "does not run as it is: it is loaded, but never dispatched");
  EXPECT_EQ(verdict({0x0F, 0xAA}), "does not run as it is: the loader refuses the image");
  // mov rax, [rdx+60h]; call [rax+140h]; ret
  EXPECT_EQ(verdict({0x48, 0x8B, 0x42, 0x60, 0xFF, 0x90, 0x40, 0x01, 0, 0, 0xC3}),
            "does not run as it is: it is started, but misses what it asks of DXE");
}

TEST(Scan, Rsm) {
  EXPECT_EQ(rules(scan(image(bytes_of({0x0F, 0xAA})))), Rules{"rsm"});
  EXPECT_EQ(rules(scan(image(bytes_of({0xB8, 0x0F, 0xAA, 0, 0, 0xC3})))), Rules{"rsm-bytes"});
}

TEST(Scan, ServicesOfTheSystemTable) {
  // mov rax, [rdx+60h]; call [rax+140h]; mov rax, [rdx+58h]... rdx is clobbered by the call: kept in rbx
  auto const r = scan(image(bytes_of({0x48, 0x89, 0xD3,                          // mov rbx, rdx
                                      0x48, 0x8B, 0x43, 0x60,                    // mov rax, [rbx+60h]
                                      0xFF, 0x90, 0x40, 0x01, 0x00, 0x00,        // call [rax+140h]
                                      0x48, 0x8B, 0x43, 0x58,                    // mov rax, [rbx+58h]
                                      0x48, 0x89, 0x05, 0xE8, 0x0F, 0x00, 0x00,  // mov [rip+..], rax: 2000h
                                      0x48, 0x8B, 0x0D, 0xE1, 0x0F, 0x00, 0x00,  // mov rcx, [rip+..]: 2000h
                                      0xFF, 0x51, 0x68, 0xC3})));                // call [rcx+68h]; ret
  EXPECT_EQ(rules(r), (Rules{"boot-services", "runtime-services", "module-type"}));
  EXPECT_EQ(text_of(r, "boot-services"), "calls LocateProtocol");
  EXPECT_EQ(text_of(r, "runtime-services"), "calls ResetSystem");
  EXPECT_EQ(r.module_type, "DXE");
}

TEST(Scan, TheMmSystemTableIsNotMistakenForIt) {
  // call [rdx+60h] is MmAllocatePages; jmp [rdx+E0h] is MmiHandlerRegister
  auto const r =
      scan(image(bytes_of({0x48, 0x89, 0xD3, 0xFF, 0x53, 0x60, 0x48, 0x89, 0xDA, 0xFF, 0xA2, 0xE0, 0, 0, 0})));
  EXPECT_TRUE(r.findings.empty());
  EXPECT_EQ(r.module_type, "MM_STANDALONE");
}

Blob with_guid(Guid const& guid) {
  Blob data(32);
  test::put_guid(data, 5, guid);
  return data;
}

TEST(Scan, ForeignProtocols) {
  auto const ret = bytes_of({0xC3});
  auto const traditional = scan(image(ret, with_guid("F4CCBFB7-F6E0-47FD-9DD4-10A8F150C191"_guid)));
  EXPECT_EQ(rules(traditional), Rules{"module-type"});
  EXPECT_EQ(traditional.module_type, "traditional MM");
  auto const pcd = scan(image(ret, with_guid("11B34006-D85B-4D0A-A290-D5A571310EF7"_guid)));
  EXPECT_EQ(rules(pcd), Rules{"dynamic-pcd"});
  auto const pci = scan(image(ret, with_guid("4CF5B200-68B8-4CA5-9EEC-B23E3F50029A"_guid)));
  EXPECT_EQ(rules(pci), Rules{"dxe-protocol"});
}

TEST(Scan, ModuleTypeByFileType) {
  auto const file = image(bytes_of({0xC3}));
  EXPECT_EQ(scan(file, bytes_of({6, 8}), u8{0x0A}).module_type, "traditional MM");
  EXPECT_EQ(scan(file, bytes_of({6, 8}), u8{0x0C}).module_type, "traditional MM and DXE");
  EXPECT_EQ(scan(file, bytes_of({6, 8}), u8{0x0E}).module_type, "MM_STANDALONE");
  EXPECT_EQ(rules(scan(file, bytes_of({6, 8}), u8{0x0C})), Rules{"module-type"});
}

TEST(Scan, Dependencies) {
  auto const file = image(bytes_of({0xC3}));
  EXPECT_EQ(rules(scan(file, bytes_of({6}))), Rules{"depex"});
  EXPECT_EQ(rules(scan(file, bytes_of({2, 1, 2}))), Rules{"depex"});
  EXPECT_EQ(text_of(scan(file, bytes_of({9, 6, 8})), "depex"), "SOR: MM has no service that would schedule the driver");
  Blob depex(18);
  depex[0] = std::byte{2};
  test::put_guid(depex, 1, "26BACCB1-6F42-11D4-BCE7-0080C73C8881"_guid);
  depex[17] = std::byte{8};
  auto const r = scan(file, depex);
  EXPECT_EQ(text_of(r, "depex"), "depends on gEfiCpuArchProtocolGuid");
  EXPECT_EQ(r.module_type, "DXE");
}

TEST(Scan, SectionsThatTheSupervisorCannotMap) {
  auto writable = image(bytes_of({0xFA, 0xC3}));
  test::put(writable, test::kTable + 36, u32{0xE000'0020});
  EXPECT_EQ(rules(scan(writable)), (Rules{"section-rights", "policy-instruction"})) << "its code is looked at too";
  auto unaligned = image(bytes_of({0xC3}));
  test::put(unaligned, test::kOpt + 32, u32{0x20});
  EXPECT_EQ(rules(scan(unaligned)), Rules{"section-alignment"});
  auto stripped = image(bytes_of({0xC3}));
  test::put(stripped, test::kNt + 22, u16{0x2023});
  EXPECT_EQ(rules(scan(stripped)), Rules{"image-format"});
  auto arm = image(bytes_of({0xC3}));
  test::put(arm, test::kNt + 4, u16{0xAA64});
  EXPECT_EQ(rules(scan(arm)), Rules{"image-format"});
  EXPECT_EQ(rules(scan(bytes_of({'V', 'Z', 0, 0}), std::nullopt)), Rules{"image-format"});
}

TEST(Scan, CutOffAndDamagedFilesAreSentences) {
  auto const whole = image(bytes_of({0xB9, 0xA0, 0x01, 0x00, 0x00, 0x0F, 0x32, 0xC3}));
  for (std::size_t bytes = 0; bytes < 0x400; ++bytes) {
    Blob const part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    auto const r = scan_image({"x.efi", part, {}, {}});
    if (!r) {
      EXPECT_FALSE(r.error().empty());
    }
  }
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    Blob damaged = whole;
    for (int k = 0; k < 8; ++k) {
      damaged[random() % 0x240] = static_cast<std::byte>(random());
    }
    (void)scan_image({"x.efi", damaged, {}, {}});
  }
}

TEST(Scan, RandomCodeEnds) {
  std::mt19937 random(6);
  for (int i = 0; i < 20; ++i) {
    Blob code(20000);
    for (auto& byte : code) {
      byte = static_cast<std::byte>(random());
    }
    (void)scan(image(std::move(code)));
  }
}

TEST(Scan, SarifNamesRulesAndPlaces) {
  auto const report = scan(image(bytes_of({0xFA, 0xC3})));
  auto const sarif = nlohmann::json::parse(scan_sarif({report}));
  EXPECT_EQ(sarif["version"], "2.1.0");
  auto const& run = sarif["runs"][0];
  auto const& result = run["results"][0];
  EXPECT_EQ(result["ruleId"], "policy-instruction");
  EXPECT_EQ(result["level"], "error");
  EXPECT_EQ(run["tool"]["driver"]["rules"][result["ruleIndex"].get<std::size_t>()]["id"], "policy-instruction");
  auto const& place = result["locations"][0]["physicalLocation"];
  EXPECT_EQ(place["artifactLocation"]["uri"], "x.efi");
  EXPECT_EQ(place["region"]["byteOffset"], 0x1000);
  std::set<std::string_view> ids;
  for (auto const& rule : scan_rules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
    EXPECT_FALSE(rule.advice.empty());
  }
}

TEST(Scan, ServiceNames) {
  EXPECT_EQ(boot_service_name(0x140), "LocateProtocol");
  EXPECT_EQ(boot_service_name(0x170), "CreateEventEx");
  EXPECT_EQ(boot_service_name(0x178), "service at 0x178");
  EXPECT_EQ(runtime_service_name(0x58), "SetVariable");
  EXPECT_EQ(runtime_service_name(0x80), "QueryVariableInfo");
}

}  // namespace
}  // namespace mm::lab
