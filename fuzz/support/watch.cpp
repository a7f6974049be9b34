// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "fuzz/support/watch.hpp"

#include <algorithm>
#include <cstring>

#include "core/loader/types.hpp"
#include "fuzz/support/check.hpp"
#include "tools/lab/audit/rules.hpp"
#include "tools/lab/text/bytes.hpp"

#if defined(__clang__)
#define MM_NO_COVERAGE __attribute__((no_sanitize("coverage")))
#else
#define MM_NO_COVERAGE
#endif

namespace mm::fuzz {
namespace {

namespace pte = memory::pte;

/// What free pages of MMRAM and old messages hold: it must never come back in a reply.
constexpr u64 kPoison = 0x9E4C'7A31'D05B'F862;
constexpr u64 kOldMessageBytes = 2048;

constexpr u8 kPresent = 1;
constexpr u8 kWritable = 2;
constexpr u8 kUser = 4;
constexpr u8 kExecutable = 8;

u8 rights_of(memory::PageAttr const& a) {
  return static_cast<u8>(kPresent | (a.writable ? kWritable : 0) | (a.user ? kUser : 0) |
                         (a.executable ? kExecutable : 0));
}

/// Not instrumented: libFuzzer learns from comparisons, and would put the poison into its inputs.
[[gnu::noinline]] MM_NO_COVERAGE bool holds_poison(std::span<std::byte const> bytes) {
  for (std::size_t i = 0; i + sizeof(u64) <= bytes.size(); ++i) {
    u64 word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    if (word == kPoison) {
      return true;
    }
  }
  return false;
}

/// A halt that ring 3 can cause: its clean-up after a contained fault failed too, or it left MM by RSM.
bool is_declared(hal::HaltReason why) {
  using enum hal::HaltReason;
  return why == UserFault || why == SyscallRefused || why == UserBudget || why == RsmBreach;
}

/// All rules of the audit hold, but for the one that needs the events of the boot: no trace is recorded here.
bool is_sound(audit::Facts const& facts) {
  audit::Report report;
  audit::audit(facts, report);
  return std::ranges::all_of(
      report.rules, [](audit::RuleResult const& r) { return r.offences.empty() || r.rule->name == "no-stray-pages"; });
}

std::vector<std::byte> poison(u64 bytes) {
  std::vector<std::byte> out(bytes);
  for (u64 i = 0; i + sizeof kPoison <= bytes; i += sizeof kPoison) {
    std::memcpy(out.data() + i, &kPoison, sizeof kPoison);
  }
  return out;
}

}  // namespace

Watch::Watch(sim::Simulator& machine) : machine_(machine) {
  auto const& boot = machine.config().boot;
  mmram_ = {boot.ram_bytes - boot.tseg_bytes, boot.tseg_bytes};
  for (auto const which : {abi::Channel::Supervisor, abi::Channel::User}) {
    channel(which).buffer = raw(steps::comm_buffer(which));
    channel(which).mailbox = raw(steps::comm_mailbox(which));
  }
  plant_poison();
  machine_.snapshot();
  rights_.resize(boot.ram_bytes >> kPageShift);
  for (auto const& page : machine_.page_map()) {
    u64 const number = page.addr >> kPageShift;
    (number < rights_.size() ? rights_[number] : rights_above_[number]) = rights_of(page.attr);
    bool const free = mmram_.contains({page.addr, kPageSize}) && page.addr >= machine_.layout().used_end;
    fixed_ += free ? 0u : 1u;
  }
  auto const facts = audit::facts_of(machine_, lab::guid_name);
  MM_FUZZ_CHECK(is_sound(facts));
  tables_.insert(facts.tables.begin(), facts.tables.end());
  mmram_bytes_ = read_mmram();
  reset();
}

/// Free pages of MMRAM hold poison, and so did the last message of each channel; the normal world holds none of it.
void Watch::plant_poison() {
  std::vector<u8> present(mmram_.size >> kPageShift);
  for (auto const& page : machine_.page_map()) {
    if (mmram_.contains({page.addr, kPageSize})) {
      present[(page.addr - mmram_.base) >> kPageShift] = 1;
    }
  }
  auto const page = poison(kPageSize);
  for (u64 at = align_up(machine_.layout().used_end, kPageSize); at < mmram_.end(); at += kPageSize) {
    if (present[(at - mmram_.base) >> kPageShift] == 0) {
      machine_.poke(PhysAddr{at}, page);
    }
  }
  lab::SequenceMessage old;
  old.valid = 1;
  for (auto const which : {abi::Channel::User, abi::Channel::Supervisor}) {
    old.channel = which;
    old.buffer.clear();
    lab::append_object(old.buffer, Guid{});
    lab::append_int(old.buffer, kOldMessageBytes, 8);
    lab::append_bytes(old.buffer, poison(kOldMessageBytes));
    Channel& ch = channel(which);
    put_message(ch, old);
    machine_.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
    MM_FUZZ_CHECK(!machine_.halted());
    machine_.write(PhysAddr{ch.buffer}, ch.content = {});
    ch.status = {};
    machine_.write(PhysAddr{ch.mailbox}, std::as_bytes(std::span{&ch.status, 1}));
    ch.touched = 0;
  }
}

std::vector<std::byte> Watch::read_mmram() const {
  std::vector<std::byte> bytes(mmram_.size);
  machine_.peek(PhysAddr{mmram_.base}, bytes);
  return bytes;
}

void Watch::reset() {
  machine_.reset();
  for (Channel& ch : channels_) {
    std::fill_n(ch.content.begin(), ch.touched, std::byte{0});
    ch.touched = 0;
    ch.status = {};
  }
  audited_ = machine_.protected_writes();
  start_blocks_ = machine_.user_blocks();
  outcome_ = 0xCBF2'9CE4'8422'2325;
  if (resets_++ % kFullCheck == 0) {
    check_against_start();
  }
}

/// MMRAM is what it was, but for the accessed and dirty bits that ring 3 leaves in page tables.
void Watch::check_against_start() const {
  auto const now = read_mmram();
  constexpr u64 kBits = pte::kAccessed | pte::kDirty;
  for (u64 page = 0; page < mmram_.size; page += kPageSize) {
    auto const was = std::span{mmram_bytes_}.subspan(page, kPageSize);
    auto const is = std::span{now}.subspan(page, kPageSize);
    if (!tables_.contains(mmram_.base + page)) {
      MM_FUZZ_CHECK(std::memcmp(was.data(), is.data(), kPageSize) == 0);
      continue;
    }
    for (std::size_t i = 0; i < kPageSize; i += 8) {
      MM_FUZZ_CHECK((lab::load_int(was, i, 8) | kBits) == (lab::load_int(is, i, 8) | kBits));
    }
  }
}

void Watch::put_message(Channel& ch, lab::SequenceMessage const& message) {
  std::ranges::copy(message.buffer, ch.content.begin());
  ch.touched = std::max<u64>(ch.touched, message.buffer.size());
  machine_.write(PhysAddr{ch.buffer}, message.buffer);
  ch.status = {};
  ch.status.is_comm_buffer_valid = message.valid;
  machine_.write(PhysAddr{ch.mailbox}, std::as_bytes(std::span{&ch.status, 1}));
}

void Watch::send(lab::SequenceMessage const& message) {
  put_message(channel(message.channel), message);
  machine_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, message.port);
  machine_.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
  MM_FUZZ_CHECK(!machine_.halted() || is_declared(*machine_.halted()));
  bool const user = channel(abi::Channel::User).status.is_comm_buffer_valid != 0;
  reply_ = {};
  check_channel(channel(abi::Channel::User), user);
  check_channel(channel(abi::Channel::Supervisor), !user);
  check_normal_world();
  check_mmram();
  check_pages();
  MM_FUZZ_CHECK(machine_.double_fetches().empty());
  u64 const work[]{machine_.user_blocks() - start_blocks_, machine_.halted() ? u64{1} : u64{0}};
  fold(std::as_bytes(std::span{work}));
}

/// The mailbox that was served is no longer valid and its reply fits the buffer; of every other nothing has changed.
void Watch::check_channel(Channel& ch, bool served) {
  abi::CommBufferStatus now;
  machine_.read(PhysAddr{ch.mailbox}, std::as_writable_bytes(std::span{&now, 1}));
  u64 reply = 0;
  if (served && ch.status.is_comm_buffer_valid != 0 && !machine_.halted()) {
    MM_FUZZ_CHECK(now.is_comm_buffer_valid == 0);
    MM_FUZZ_CHECK(std::ranges::equal(now.reserved, ch.status.reserved));
    MM_FUZZ_CHECK(now.return_buffer_size <= ch.content.size());
    reply = now.return_buffer_size;
  } else {
    MM_FUZZ_CHECK(std::memcmp(&now, &ch.status, sizeof now) == 0);
  }
  ch.status = now;
  fold(std::as_bytes(std::span{&now, 1}));
  check_reply(ch, reply);
  machine_.read(PhysAddr{ch.buffer}, std::span{ch.content}.first(reply));
  ch.touched = std::max(ch.touched, reply);
  fold(std::span{ch.content}.first(reply));
  if (served) {
    reply_ = std::span{ch.content}.first(reply);
  }
}

std::span<std::byte const> Watch::reply() const noexcept {
  return reply_.subspan(std::min(reply_.size(), sizeof(abi::CommunicateHeader)));
}

/// Behind the reply the buffer is as the normal world left it; in it is nothing that MM kept for itself.
void Watch::check_reply(Channel const& ch, u64 bytes) const {
  std::array<std::byte, platform::kCommPages * kPageSize> now;
  u64 const end = std::max(ch.touched, bytes);
  machine_.read(PhysAddr{ch.buffer}, std::span{now}.first(end));
  MM_FUZZ_CHECK(!holds_poison(std::span{now}.first(bytes)));
  if (end > bytes) {
    MM_FUZZ_CHECK(std::memcmp(now.data() + bytes, ch.content.data() + bytes, end - bytes) == 0);
  }
  // Pages behind what was ever used: written only when they are among the changed ones.
  for (u64 const page : machine_.changed_pages()) {
    u64 const at = page << kPageShift;
    if (at >= ch.buffer + end && at < ch.buffer + now.size()) {
      machine_.read(PhysAddr{at}, std::span{now}.first(kPageSize));
      MM_FUZZ_CHECK(
          std::ranges::all_of(std::span{now}.first(kPageSize), [](std::byte b) { return b == std::byte{0}; }));
    }
  }
}

/// Outside MMRAM ring 0 writes nothing but the two buffers and the two mailboxes.
void Watch::check_normal_world() const {
  for (u64 const page : machine_.changed_pages()) {
    Range const changed{page << kPageShift, kPageSize};
    bool known = mmram_.contains(changed);
    for (Channel const& ch : channels_) {
      known = known || Range{ch.buffer, ch.content.size()}.contains(changed) ||
              changed.contains({ch.mailbox, sizeof(abi::CommBufferStatus)});
    }
    MM_FUZZ_CHECK(known);
  }
}

/// The normal world reads FF wherever it looks in MMRAM.
void Watch::check_mmram() const {
  for (u64 const at : {mmram_.base, mmram_.base + 0x8000, mmram_.end() - 8}) {
    u64 seen = 0;
    machine_.read(PhysAddr{at}, std::as_writable_bytes(std::span{&seen, 1}));
    MM_FUZZ_CHECK(seen == UINT64_MAX);
  }
}

/// Audit of the live page tables, whenever they were written. Pages of the start keep their rights, or, where ring 3
/// could allocate, are gone. New pages are data; in MMRAM they are where it was free.
void Watch::check_pages() {
  if (machine_.protected_writes() == audited_) {
    return;
  }
  audited_ = machine_.protected_writes();
  u64 kept = 0;
  u64 const free = machine_.layout().used_end;
  machine_.page_map(pages_);
  for (auto const& page : pages_) {
    MM_FUZZ_CHECK(!(page.attr.writable && page.attr.executable));
    u64 const number = page.addr >> kPageShift;
    u8 const before = rights_before(number);
    bool const inside = mmram_.contains({page.addr, kPageSize});
    if (before != 0) {
      bool const reused = inside && page.addr >= free && (before & kWritable) != 0;
      MM_FUZZ_CHECK(before == rights_of(page.attr) || reused);
      kept += inside && page.addr >= free ? 0u : 1u;
    } else {
      MM_FUZZ_CHECK(!page.attr.executable);
      MM_FUZZ_CHECK(!inside || page.addr >= free);
    }
  }
  MM_FUZZ_CHECK(kept == fixed_);  // only what lies in memory that was free can be given back
}

u8 Watch::rights_before(u64 page) const noexcept {
  if (page < rights_.size()) {
    return rights_[page];
  }
  auto const above = rights_above_.find(page);
  return above == rights_above_.end() ? u8{0} : above->second;
}

void Watch::fold(std::span<std::byte const> bytes) noexcept {
  for (std::byte const b : bytes) {
    outcome_ = (outcome_ ^ static_cast<u64>(b)) * 0x100'0000'01B3;
  }
}

}  // namespace mm::fuzz
