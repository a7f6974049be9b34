// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>

#include "core/abi/guids.hpp"
#include "core/communication/communicator.hpp"
#include "tools/lab/scenario/scenario.hpp"

namespace mm::lab {
namespace {

void append_step(Bytes& to, ProgramStep const& step) {
  append_object(to, step.head);
  append_bytes(to, step.data);
  pad_to(to, 8);
}

}  // namespace

bool is_for(Scenario const& scenario, Target target) {
  auto const& only = scenario.machines.targets;
  bool const named = std::ranges::find(only, target == Target::Sim ? "sim" : "qemu") != only.end();
  return scenario.reference_profile ? target == Target::Sim : only.empty() || named;
}

ProgramStep communicate_step(abi::Channel channel, Guid const& to, std::span<std::byte const> message, bool v3) {
  ProgramStep step;
  if (v3) {
    append_object(step.data,
                  abi::CommunicateHeaderV3{guids::gEfiMmCommunicateHeaderV3Guid,
                                           sizeof(abi::CommunicateHeaderV3) + message.size(), 0, to, message.size()});
  } else {
    append_object(step.data, abi::CommunicateHeader{to, message.size()});
  }
  append_bytes(step.data, message);
  step.head = {static_cast<u16>(steps::StepOp::Communicate),
               0,
               static_cast<u32>(step.data.size()),
               static_cast<u64>(channel),
               1,
               steps::kMaxStepBytes};
  return step;
}

ProgramStep call_step(abi::Channel channel, Guid const& to, std::span<std::byte const> message, bool v3) {
  auto const format = v3 ? communication::MessageFormat::V3 : communication::MessageFormat::V1;
  bool const too_long = message.size() > steps::kMaxStepBytes - communication::header_bytes(format);
  if (message.empty() || to.is_zero() || too_long) {
    return communicate_step(channel, to, message, v3);
  }
  ProgramStep step;
  append_object(step.data, to);
  append_bytes(step.data, message);
  step.head = {static_cast<u16>(steps::StepOp::Call),
               0,
               static_cast<u32>(step.data.size()),
               static_cast<u64>(channel),
               v3 ? u64{1} : u64{0},
               steps::kMaxStepBytes};
  return step;
}

Program encode_program(Scenario const& scenario) {
  Program out;
  Bytes body;
  std::size_t count = 0;
  auto const add = [&](ProgramStep const& step) {
    append_step(body, step);
    ++count;
  };
  auto const add_reads = [&] {
    std::size_t const first = count;
    for (auto const& range : scenario.expect.memory_unchanged) {
      add({{static_cast<u16>(steps::StepOp::Read), 0, 0, range.address, range.bytes, 0}, {}});
    }
    return first;
  };
  if (scenario.dispatch) {
    add(call_step(abi::Channel::User, guids::gEventMmDispatchGuid, Bytes(1)));
  }
  out.reads_before = add_reads();
  out.first_step = count;
  for (auto const& step : scenario.steps) {
    for (auto const& one : step.program) {
      add(one);
    }
    out.last_of_step.push_back(count - 1);
  }
  out.reads_after = add_reads();
  append_object(out.bytes, steps::StepProgramHeader{.count = static_cast<u32>(count),
                                                    .total_bytes = static_cast<u32>(body.size() + 16)});
  append_bytes(out.bytes, body);
  return out;
}

}  // namespace mm::lab
