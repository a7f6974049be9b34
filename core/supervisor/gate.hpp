// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>

#include "core/policy/foundation.hpp"
#include "core/policy/index.hpp"
#include "core/policy/policy.hpp"
#include "core/supervisor/here.hpp"

namespace mm::supervisor {

/// What ring 3 may have the CPU do for it: MSRs, ports, instructions, save state. What ring 0 stands on comes first,
/// then the secure policy. Every question comes to one verdict, and every refusal of it is one event.
template <hal::Machine M>
class Gate {
 public:
  using Cpu = typename M::Cpu;

  /// Takes the policy over; `bytes` is at most policy::kMaxBytes, which the hand-over was checked for.
  policy::Finding adopt(Cpu& cpu, PhysAddr policy, u64 bytes) noexcept {
    bytes_ = bytes;
    cpu.read(policy, std::span(policy_).first(bytes));
    auto const finding = policy::validate(blob());
    if (finding.problem == policy::Problem::None) {
      index_.build(view());
    }
    return finding;
  }
  std::span<std::byte const> blob() const noexcept { return std::span(policy_).first(bytes_); }
  policy::View view() const noexcept { return policy::View(blob()); }

  /// AccessDenied: the core, or the policy. `access`: policy::kRead or kWrite.
  Status msr(Here<M> const& here, u32 msr, u16 access) const noexcept {
    return decide(here, {policy::Type::Msr, msr, access, 8}, policy::foundation_of_msr(msr, access),
                  index_.msr(view(), msr, access), Check::MsrPolicy);
  }
  /// InvalidParameter: a port beyond 64 KiB. AccessDenied: the core, or the policy.
  Status io(Here<M> const& here, u64 port, abi::IoWidth width, u16 access) const noexcept {
    u64 const bytes = abi::bytes_of(width);
    Status const verdict = index_.io(view(), port, bytes, access);
    if (verdict == Status::InvalidParameter) {
      return verdict;
    }
    u32 const address = policy::reaches_config_data(port, bytes, access)
                            ? here.cpu.port_in(policy::kPortConfigAddress, abi::IoWidth::Dword)
                            : 0;
    return decide(here, {policy::Type::Io, port, access, bytes, address},
                  policy::foundation_of_io(port, bytes, access, address), verdict, Check::IoPolicy);
  }
  /// AccessDenied: the core, or the policy.
  Status instruction(Here<M> const& here, policy::Instruction instruction) const noexcept {
    u16 const number = static_cast<u16>(instruction);
    return decide(here, {policy::Type::Instruction, number, policy::kExecute},
                  policy::foundation_of_instruction(number), policy::decide_instruction(view(), number),
                  Check::InstructionPolicy);
  }
  /// A read of one field, given the I/O trap that the save state records. AccessDenied: the policy.
  Status save_state(Here<M> const& here, policy::SaveStateField field, policy::IoTrap trap) const noexcept {
    Asked const asked{policy::Type::SaveState, static_cast<u64>(field), policy::kRead};
    Status const verdict = policy::decide_save_state(view(), field, trap);
    return verdict == Status::Success ? verdict : refuse(here, asked, false, verdict);
  }

 private:
  struct Asked {
    policy::Type type{};
    u64 what = 0;
    u16 access = 0;
    u64 width = 0;
    u32 config_address = 0;
  };
  static Status decide(Here<M> const& here, Asked const& asked, policy::Foundation const* row, Status by_policy,
                       Check check) noexcept {
    if (row != nullptr && here.enforced(Check::Foundation)) {
      return refuse(here, asked, true, Status::AccessDenied);
    }
    if (by_policy != Status::Success && here.enforced(check)) {
      return refuse(here, asked, false, by_policy);
    }
    return Status::Success;
  }
  static Status refuse(Here<M> const& here, Asked const& asked, bool by_core, Status why) noexcept {
    here.emit(hal::event::PolicyRefusal{static_cast<u64>(asked.type), asked.what, asked.access, asked.width,
                                        by_core ? u64{1} : u64{0}, by_core ? asked.config_address : u64{0}});
    return why;
  }

  u64 bytes_ = 0;
  std::array<std::byte, policy::kMaxBytes> policy_{};
  policy::Index index_;
};

}  // namespace mm::supervisor
