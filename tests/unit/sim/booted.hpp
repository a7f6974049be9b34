// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/abi/comm.hpp"
#include "core/abi/platform.hpp"
#include "core/communication/normal_world.hpp"
#include "core/loader/types.hpp"
#include "core/steps/client.hpp"
#include "sim/machine/machine.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/run/sim_config.hpp"

namespace mm::sim::test {

inline constexpr Guid kHello = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid;
inline constexpr Guid kAttacker = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010"_guid;
inline constexpr Guid kApUser = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0020"_guid;
inline constexpr Guid kRsmDriver = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0040"_guid;

template <typename T>
T must(std::expected<T, std::string> value) {
  if (!value) {
    throw std::runtime_error(value.error());
  }
  return std::move(*value);
}

/// A scenario as text, compiled, whatever the host thinks of its images.
inline lab::Prepared prepared(std::string const& text) {
  return must(lab::prepare(must(lab::parse_scenario(text, "test", MM_TEST_IMAGE_DIR)), MM_TEST_IMAGE_DIR));
}
inline std::string image_list(std::vector<std::string> const& drivers) {
  std::string list = "schema = 1\nimages = [";
  for (auto const& d : drivers) {
    list += "{ driver = \"" + d + "\" },";
  }
  return list + "]\n";
}

struct Reply {
  u8 pending = 0;  ///< mailbox byte after the MMI
  u64 status = 0;
  std::vector<std::byte> message;
  friend bool operator==(Reply const&, Reply const&) = default;
};

/// The real supervisor and user core in the simulator.
struct Booted {
  /// `machine` is the text of a [machine] table.
  explicit Booted(std::vector<std::string> const& drivers, std::string const& machine = "cpus = 2\n",
                  bool record = true) {
    auto const p = prepared(image_list(drivers) + "[machine]\n" + machine);
    auto config = lab::machine_config(p);
    config.record_trace = record;
    sim = must(Simulator::create(config));
    if (auto done = sim->boot(p.fv); !done) {
      throw std::runtime_error(done.error());
    }
  }
  Reply send(Guid const& to, std::span<std::byte const> message, abi::Channel channel = abi::Channel::User) {
    PhysAddr const buffer = steps::comm_buffer(channel);
    PhysAddr const box = steps::comm_mailbox(channel);
    abi::CommunicateHeader const header{to, message.size()};
    abi::CommBufferStatus mailbox;
    mailbox.is_comm_buffer_valid = 1;
    sim->write(buffer, std::as_bytes(std::span{&header, 1}));
    sim->write(buffer + sizeof(header), message);
    sim->write(box, std::as_bytes(std::span{&mailbox, 1}));
    sim->port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
    sim->read(box, std::as_writable_bytes(std::span{&mailbox, 1}));
    Reply reply{mailbox.is_comm_buffer_valid, mailbox.return_status, {}};
    if (mailbox.return_buffer_size > sizeof(header)) {
      reply.message.resize(mailbox.return_buffer_size - sizeof(header));
      sim->read(buffer + sizeof(header), reply.message);
    }
    return reply;
  }
  Reply send(Guid const& to, std::string_view text) { return send(to, std::as_bytes(std::span{text})); }
  template <std::size_t N>
  Reply send(Guid const& to, std::array<u64, N> const& words) {
    return send(to, std::as_bytes(std::span{words}));
  }
  /// Starts the drivers, as the end of a boot does.
  Reply dispatch() { return send(guids::gEventMmDispatchGuid, std::string_view{"\0", 1}); }
  /// Supervisor request: opens pages of the normal world to MM. The result of the request.
  u64 unblock(u64 address, u64 pages) {
    struct {
      abi::SupervisorRequestHeader header;
      abi::UnblockMemoryParams params;
    } request;
    request.header.signature = abi::kRequestSignature;
    request.header.revision = 1;
    request.header.request = static_cast<u32>(abi::SupervisorRequest::UnblockMem);
    request.params.descriptor.physical_start = address;
    request.params.descriptor.number_of_pages = pages;
    request.params.identifier = kHello;
    Reply const reply =
        send(guids::gMmSupervisorRequestHandlerGuid, std::as_bytes(std::span{&request, 1}), abi::Channel::Supervisor);
    if (reply.message.size() < sizeof(request.header)) {
      return ~u64{0};
    }
    std::memcpy(&request.header, reply.message.data(), sizeof(request.header));
    return request.header.result;
  }

  std::unique_ptr<Simulator> sim;
};

inline std::string text_of(Reply const& reply) {
  std::string text(reply.message.size(), ' ');
  std::memcpy(text.data(), reply.message.data(), text.size());
  return text;
}

}  // namespace mm::sim::test
