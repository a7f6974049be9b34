// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <set>

#include "tests/support/supervisor_world.hpp"

/// Worlds in which one thing of the hand-over is wrong, and what the first MMI says of it.
namespace mm::test {
using supervisor::InitProblem;

/// The problems that some test of this file has produced: the last test wants all of them.
inline std::set<InitProblem>& seen() {
  static std::set<InitProblem> set;
  return set;
}

/// Problem that stops the first MMI of a world in which one thing is wrong.
template <typename F>
InitProblem problem_of(F&& spoil, u32 cpus = 1) {
  World w(cpus);
  Script s(*w.cpu[0]);
  spoil(w);
  w.write_list();
  w.boot();
  EXPECT_TRUE(s.contexts.empty());
  auto const halts = w.machine.of(hal::TraceKind::Halt);
  if (halts.size() != 1 || w.machine.halted != hal::HaltReason::InitFailed) {
    ADD_FAILURE() << "no refusal";
    return InitProblem{};
  }
  auto const problem = static_cast<InitProblem>(halts[0].c);
  EXPECT_EQ(halts[0].b, static_cast<u64>(supervisor::status_of(problem)));
  seen().insert(problem);
  return problem;
}
/// The same with one GUID HOB changed.
template <typename T, typename F>
InitProblem with(Guid name, F&& change, u32 cpus = 1) {
  return problem_of([&](World& w) { w.edit<T>(w.hob_of(name), change); }, cpus);
}
template <typename F>
InitProblem with_pass_down(F&& change, u32 cpus = 1) {
  return with<abi::PassDown>(guids::gMmSupervisorPassDownHobGuid, change, cpus);
}
template <typename F>
InitProblem with_mmram(F&& change) {
  return with<World::Mmram>(guids::gEfiSmmSmramMemoryGuid, change);
}
template <typename F>
InitProblem with_user(F&& change) {
  return with<abi::MmCommBuffer>(guids::gMmCommBufferHobGuid, change);
}
/// The same with one HOB more.
template <typename... T>
InitProblem with_hob(T const&... hob) {
  return problem_of([&](World& w) { w.add(hob...); });
}
template <typename F>
InitProblem with_module(u64 index, F&& change) {
  return problem_of([&](World& w) { w.edit<abi::HobMemoryAllocationModule>(index, change, 0); });
}
constexpr std::size_t kCoreHob = 1, kUserHob = 2, kDriverHob = 3;

inline abi::HobResourceDescriptor resource(u64 base, u64 bytes, u32 type = 0, Guid owner = {}) {
  abi::HobResourceDescriptor r;
  r.physical_start = base;
  r.resource_length = bytes;
  r.resource_type = type;
  r.owner = owner;
  return r;
}
struct Resource2 {
  abi::HobResourceDescriptor v1;
  u64 attributes = 0;
};
inline Resource2 resource2(u64 base, u64 bytes, u64 attributes, u32 type = 0) {
  Resource2 r{resource(base, bytes, type), attributes};
  r.v1.header.type = static_cast<u16>(abi::HobType::ResourceDescriptor2);
  r.v1.header.length = sizeof(r);
  return r;
}
inline abi::HobFv volume(u64 base, u64 bytes) {
  abi::HobFv fv;
  fv.base = base;
  fv.length = bytes;
  return fv;
}
struct Allocation {
  abi::HobHeader header{static_cast<u16>(abi::HobType::MemoryAllocation), 48, 0};
  Guid name;
  u64 base = 0;
  u64 bytes = 0;
  u64 type = 0;
};
inline abi::UnblockMemoryParams unblock(u64 base, u64 pages, u64 attribute = 0) {
  return {{6, 0, base, 0, pages, attribute}, "22222222-2222-3333-4444-555555555555"_guid};
}

}  // namespace mm::test
