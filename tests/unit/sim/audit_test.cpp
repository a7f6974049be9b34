// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/page_audit.hpp"
#include "tests/unit/sim/booted.hpp"

namespace mm::sim {
namespace {

using namespace test;
TEST(Audit, EveryMmiOfABootWithAllDriversKeepsThePagesApart) {
  Booted b({"Hello", "Second", "HelloSupervised", "Attacker", "ApUser", "FaultAtEntry", "ErrorAtEntry", "DepexA",
            "DepexB", "Waiting"},
           "cpus = 4\nfault_policy = \"contain\"\n");
  auto const after = [&](char const* what) {
    SCOPED_TRACE(what);
    EXPECT_FALSE(b.sim->halted().has_value());
    EXPECT_TRUE(b.sim->double_fetches().empty());
    EXPECT_EQ(mm::test::audit_pages(*b.sim), std::vector<std::string>{});
  };
  after("first MMI");
  b.dispatch();
  after("dispatch");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello");
  b.send(kApUser, std::array<u64, 3>{});
  after("procedures on the other CPUs");
  EXPECT_EQ(b.unblock(platform::kScratch, 2), 0u);
  after("unblock");
  b.send(kAttacker, std::array<u64, 3>{16, 7, 0});
  after("pages allocated and freed");
  b.send(guids::gEfiEndOfDxeEventGroupGuid, std::string_view{"\0", 1});
  after("end of DXE");
  b.send(kAttacker, std::array<u64, 3>{1, b.sim->layout().supervisor_base, 0});
  after("contained attack");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello again");
}

}  // namespace
}  // namespace mm::sim
