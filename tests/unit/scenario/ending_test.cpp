// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/abi/comm.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/qemu_process.hpp"
#include "tools/lab/tell/compare.hpp"

/// How a run ended, and what of it is kept.
namespace mm::lab {
namespace {

using hal::TraceEvent;
using hal::TraceKind;

constexpr char const* kCpus =
    "info registers -a\r\n\r\nCPU#0\r\nRAX=0000000000000001 RBX=0000000000000000\r\n"
    "RIP=000000000fe1a010 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=1 HLT=1\r\nES =0040 0\r\n"
    "\r\nCPU#1\r\nRIP=0000000006010aa0 RFL=00000002 [-------] CPL=3 II=0 A20=1 SMM=0 HLT=0\r\n"
    "\r\nCPU#2\r\nEIP=00001234 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n(qemu) ";

TEST(Monitor, CpusOfItsText) {
  auto const cpus = parse_cpus(kCpus);
  ASSERT_EQ(cpus.size(), 3u);
  EXPECT_EQ(cpus[0], (CpuView{0, true, true, 0, 0xFE1A010}));
  EXPECT_EQ(cpus[1], (CpuView{1, false, false, 3, 0x6010AA0}));
  EXPECT_EQ(cpus[2], (CpuView{2, false, true, 0, 0x1234}));  // one that waits in protected mode
  EXPECT_EQ(describe(cpus[1]), "CPU 1 at 0x6010aa0, outside MM, CPL 3");
}

TEST(Monitor, TextThatIsCutOffGivesNoCpu) {
  std::string_view const text = kCpus;
  for (std::size_t bytes = 0; bytes < text.find("HLT=1"); ++bytes) {
    EXPECT_TRUE(parse_cpus(text.substr(0, bytes)).empty()) << bytes;
  }
}

TEST(Limits, TheHaltIsKeptBehindTheLastEvent) {
  MachineRun run;
  for (std::size_t i = 0; i < RunLimits::kEvents + 10; ++i) {
    add_event(run, {TraceKind::Syscall});
  }
  add_event(run, {TraceKind::Halt, 0, 0, static_cast<u64>(hal::HaltReason::UserBudget)});
  EXPECT_EQ(run.trace.size(), RunLimits::kEvents + 1);
  EXPECT_EQ(run.dropped_events, 10u);
  EXPECT_EQ(run.halted, hal::HaltReason::UserBudget);
}

Bytes frame(u32 index, std::size_t data) {
  Bytes out;
  append_object(out, steps::StepResult{.index = index, .data_bytes = static_cast<u32>(data)});
  out.resize(out.size() + data);
  return out;
}

TEST(Limits, DataOfResultsIsCountedBeyondThem) {
  MachineRun run;
  constexpr std::size_t kOne = 1u << 20;
  u32 const steps = RunLimits::kResultBytes / kOne + 3;
  for (u32 i = 0; i < steps; ++i) {
    add_result_frame(run, frame(i, kOne), 0);
  }
  EXPECT_EQ(run.results.size(), steps);
  EXPECT_EQ(run.result_bytes, RunLimits::kResultBytes);
  EXPECT_EQ(run.dropped_bytes, 3 * kOne);
  EXPECT_TRUE(run.results.back().data.empty());
}

/// A scenario of one step that gave Success.
struct Checked : testing::Test {
  Checked() {
    prepared.scenario.boot.cpus = 4;
    auto& step = prepared.scenario.steps.emplace_back();
    step.kind = step.title = "communicate";
    prepared.program.last_of_step = {0};
    run.complete = true;
    add_result_frame(run, frame(0, 64), 0);
  }
  std::vector<std::string> problems() const {
    std::vector<std::string> out;
    for (auto const& p : check(prepared, run)) {
      out.push_back(p.text);
    }
    return out;
  }
  void release() {
    prepared.release = true;
    prepared.scenario.expect.halted = hal::HaltReason::UserFault;
    prepared.scenario.steps[0].expect.halts = true;
    run = {};
    run.ended = RunEnd::Stopped;
  }
  Prepared prepared;
  MachineRun run;
};

TEST_F(Checked, NothingIsWrong) { EXPECT_TRUE(problems().empty()); }

TEST_F(Checked, TimeLimitIsNoHaltOfTheMachine) {
  run.complete = false;
  run.ended = RunEnd::TimeLimit;
  run.text = {"killed after 60 seconds, behind the last step"};
  prepared.scenario.expect.halted = hal::HaltReason::UserBudget;
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_EQ(problems()[0],
            "the machine did not end (TimeLimit: killed after 60 seconds, behind the last step), expected UserBudget");
}

TEST_F(Checked, AResetIsAResultThatMayBeExpected) {
  run = {};
  run.ended = RunEnd::Reset;
  prepared.scenario.steps[0].expect.halts = true;
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_EQ(problems()[0], "the machine was reset (Reset), expected no halt");
  prepared.scenario.expect.reset = true;
  EXPECT_TRUE(problems().empty());
  run.ended.reset();
  run.complete = true;
  EXPECT_FALSE(problems().empty());
}

TEST_F(Checked, TheReleaseCoreThatStopsEveryCpu) {
  release();
  EXPECT_TRUE(problems().empty());
}

TEST_F(Checked, TheReleaseCoreThatLeavesCpusOutside) {
  release();
  run.outside = {1, 3};
  EXPECT_EQ(problems(),
            (std::vector<std::string>{"CPU 1 is outside MM after the halt", "CPU 3 is outside MM after the halt"}));
}

TEST_F(Checked, ACpuThatDidNotComeIsOutside) {
  release();
  run.outside = {1};
  prepared.scenario.expect.halted = hal::HaltReason::RendezvousTimeout;
  EXPECT_TRUE(problems().empty());
}

TEST_F(Checked, TheReleaseCoreIsNotJudgedByEvents) {
  prepared.scenario.expect.events = {
      {.kind = TraceKind::Fault, .cpu = {}, .a = {}, .b = {}, .c = {}, .d = {}, .e = {}, .f = {}}};
  EXPECT_EQ(problems().size(), 1u);
  prepared.release = true;
  EXPECT_TRUE(problems().empty());
}

TEST_F(Checked, RingZeroReachedCannotBeCaught) {
  run.trace = {{TraceKind::ImageLoaded, 0, 0, 0x10000, 0x4000, 1, 2, 1},
               {TraceKind::SupervisorFault, 2, 1, 14, 0x11, 0x10200}};
  judge_ring0(run);
  prepared.scenario.expect.caught = {"ring-3 image"};
  auto const found = problems();
  ASSERT_EQ(found.size(), 2u);  // the second: what was to be caught was not
  EXPECT_EQ(found[1], "Ring3ReachedRing0: CPU 2 ran code of a ring-3 image at 0x10200 as ring 0");
}

TEST_F(Checked, AFaultOfRingZeroInItsOwnImageIsNone) {
  run.trace = {{TraceKind::ImageLoaded, 0, 0, 0x10000, 0x4000, 1, 2, 0},
               {TraceKind::SupervisorFault, 2, 1, 14, 0x11, 0x10200}};
  judge_ring0(run);
  EXPECT_TRUE(run.ring0.empty());
}

TEST_F(Checked, ResultsThatWereNotKeptAreTold) {
  run.dropped_bytes = 5;
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_NE(problems()[0].find("split the scenario"), std::string::npos);
}

TEST_F(Checked, TheStatusOfARequestIsItsAnswer) {
  auto& step = prepared.scenario.steps[0];
  step.header_bytes = sizeof(abi::CommunicateHeader);
  step.answer_at = offsetof(abi::SupervisorRequestHeader, result);
  abi::SupervisorRequestHeader answer;
  answer.result = static_cast<u64>(Status::AccessDenied);
  auto& data = run.results[0].data;
  data.assign(step.header_bytes, std::byte{});
  append_object(data, answer);
  EXPECT_EQ(status_of(step, run.results[0]), static_cast<u64>(Status::AccessDenied));
  run.results[0].head.status = static_cast<u64>(Status::NotStarted);  // no answer: that is the status
  EXPECT_EQ(status_of(step, run.results[0]), static_cast<u64>(Status::NotStarted));
  run.results[0].head.status = 0;
  data.resize(data.size() - 1);  // half an answer is none
  EXPECT_EQ(status_of(step, run.results[0]), 0u);
}

TEST_F(Checked, MachinesThatEndOtherwiseDiffer) {
  MachineRun other = run;
  EXPECT_FALSE(compare(prepared, run, other).difference);
  other.ended = RunEnd::Reset;
  auto const found = compare(prepared, run, other).difference;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->sim, "the end of the steps");
  EXPECT_EQ(found->machine, "Reset");
}

}  // namespace
}  // namespace mm::lab
