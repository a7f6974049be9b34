// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/communication/communicator.hpp"
#include "core/communication/config.hpp"
#include "core/communication/sw_mmi.hpp"
#include "core/steps/program.hpp"
#include "core/steps/world.hpp"

namespace mm::steps {

/// Where the platform has the communicate buffer of a channel, and its mailbox.
constexpr PhysAddr comm_buffer(abi::Channel channel) noexcept {
  return PhysAddr{channel == abi::Channel::Supervisor ? platform::kSupervisorCommBuffer : platform::kUserCommBuffer};
}
constexpr PhysAddr comm_mailbox(abi::Channel channel) noexcept {
  return PhysAddr{channel == abi::Channel::Supervisor ? platform::kSupervisorCommStatus : platform::kUserCommStatus};
}

/// The client that well-formed messages go through, made when the first one comes: taking the buffers clears them.
template <StepWorld N>
class StepClient {
 public:
  using Trigger = communication::SwMmiTrigger<N>;
  using Executor = communication::RealMmExecutor<Trigger>;

  StepClient(N& world, std::array<PhysAddr, 2> const& buffers, std::array<PhysAddr, 2> const& mailboxes) noexcept
      : trigger(world, communication::AcpiBase::io(platform::kPmBase),
                communication::MmiPort::smi(platform::kPortApmCnt), communication::MmiPort::smi(platform::kPortApmSts)),
        executor(trigger),
        communicator(world, config(world, buffers, mailboxes), &executor) {}
  StepClient(StepClient const&) = delete;
  StepClient& operator=(StepClient const&) = delete;

  static communication::CommunicationConfig config(N& world, std::array<PhysAddr, 2> const& buffers,
                                                   std::array<PhysAddr, 2> const& mailboxes) noexcept {
    communication::CommunicationConfig made;
    for (auto const channel : {abi::Channel::Supervisor, abi::Channel::User}) {
      auto const id = static_cast<u8>(channel);
      auto const buffer = communication::CommunicateBuffer::from_firmware_region(world, raw(buffers[id]), kMaxStepBytes,
                                                                                 id, raw(mailboxes[id]));
      if (buffer.has_value()) {
        made.comm_buffers[id] = *buffer;
      }
    }
    return made;
  }

  Trigger trigger;
  Executor executor;
  communication::MmCommunicator<N, Executor> communicator;
};

}  // namespace mm::steps
