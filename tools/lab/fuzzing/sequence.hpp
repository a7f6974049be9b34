// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/abi/comm.hpp"
#include "core/abi/guids.hpp"
#include "tools/lab/run/prepare.hpp"

/// The inputs of the fuzzer `communicate`: up to eight messages to one machine, each a head of six bytes and its bytes
/// (format: fuzz/COMMUNICATE.md). The fuzzer and `mmsim repro` decode them here.
namespace mm::lab {

inline constexpr u64 kSequenceMessages = 8;
inline constexpr std::size_t kSequenceHeadBytes = 6;

/// Handlers that the first byte of a head numbers from 1.
inline constexpr std::array kSequenceHandlers{
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid,  // Hello
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0003"_guid,  // HelloSupervised
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010"_guid,  // Attacker
    guids::gMmSupervisorRequestHandlerGuid,      guids::gMmSupervisorDriverDispatchGuid,
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0002"_guid,  // Second
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0020"_guid,  // ApUser
    guids::gEfiDxeMmReadyToLockProtocolGuid,     guids::gEfiEventExitBootServicesGuid,
    guids::gEfiEndOfDxeEventGroupGuid,
};

/// One message as the normal world puts it: buffer, mailbox, port 0xB3, then the MMI.
struct SequenceMessage {
  abi::Channel channel = abi::Channel::User;
  u8 valid = 0;  ///< first byte of the mailbox
  u8 port = 0;   ///< value for port 0xB3
  Bytes buffer;  ///< header and message, at most one communicate buffer
};

/// Reads the messages of one input, in order.
class SequenceReader {
 public:
  explicit SequenceReader(std::span<std::byte const> input) noexcept : rest_(input) {}
  /// False: there are no more. The buffer of `out` is used again.
  bool next(SequenceMessage& out);

 private:
  std::span<std::byte const> rest_;
  u64 read_ = 0;
};

/// The machine that the inputs are for, booted and its drivers started: two CPUs, faults of drivers contained. The
/// error is a sentence.
std::expected<Prepared, std::string> prepare_sequence(std::filesystem::path const& images);
/// The same with the messages of `input` as steps, to be run like a scenario.
std::expected<Prepared, std::string> prepare_sequence(std::filesystem::path const& images,
                                                      std::span<std::byte const> input, bool release = false);

}  // namespace mm::lab
