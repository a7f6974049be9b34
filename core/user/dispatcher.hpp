// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/user/depex.hpp"
#include "core/user/hob_list.hpp"
#include "core/user/pool.hpp"

namespace mm::user {

enum class DriverState : u8 {
  Waiting,    ///< its dependency does not hold yet
  Scheduled,  ///< in the queue
  Running,    ///< its entry point is executing
  Started,    ///< its entry point returned SUCCESS
  Failed,     ///< its entry point returned an error
  Contained,  ///< it faulted and was cut off
};

/// A driver image as the loader described it: module HOB and the depex HOB behind it.
struct Driver {
  Guid file;
  Range image;
  u64 entry = 0;
  u64 depex = 0;           ///< address of the expression
  u64 depex_bytes = 0;     ///< 0: no dependency
  bool malformed = false;  ///< depex HOB that contradicts itself: never dispatched
  DriverState state = DriverState::Waiting;
  DepexAssociation association;
};

/// Finds drivers and starts them in dependency order (user-core-and-communication.md 2.4 to 2.6). All state is in the
/// object, so that a run which a fault cut off is resumed by calling run() again.
template <Ring3 R>
class Dispatcher {
 public:
  explicit constexpr Dispatcher(Pool<R>& pool) noexcept : drivers_(pool), queue_(pool), work_(pool) {}

  /// Collects the drivers of the HOB list, in its order. OutOfResources.
  Expected<void> discover(u64 hob_list) noexcept {
    Expected<void> result;
    for_each_hob(hob_list, [&](u64 hob, abi::HobHeader const& header) {
      if (result.has_value() && header.type == static_cast<u16>(abi::HobType::MemoryAllocation) &&
          header.length == sizeof(abi::HobMemoryAllocationModule)) {
        result = add(hob);
      }
    });
    return result;
  }

  /// Dispatches until a scan schedules nothing more. `enter(driver) -> Status` runs one entry point, `installed(guid)`
  /// answers depexes, `failed(driver)` is told of an error status. AlreadyStarted when called from inside itself.
  template <typename Enter, typename Installed, typename Failed>
  Status run(Enter&& enter, Installed&& installed, Failed&& failed) noexcept {
    if (running_) {
      return Status::AlreadyStarted;
    }
    running_ = true;
    Status status = Status::Success;
    do {
      drain(enter, failed);
    } while (schedule_ready(installed, status));
    running_ = false;
    return status;
  }

  /// After a fault: the entry point under way will not return. The driver is given to `f(driver)` when there is one.
  template <typename F>
  void abandon_run(F&& f) noexcept {
    running_ = false;
    for (Driver& driver : drivers_) {
      if (driver.state == DriverState::Running) {
        driver.state = DriverState::Contained;
        f(driver);
      }
    }
  }

  /// The driver whose image holds `address`, or null. The pointer is good until the next discover().
  Driver* find_image(u64 address) noexcept {
    for (Driver& driver : drivers_) {
      if (driver.image.contains({address, 1})) {
        return &driver;
      }
    }
    return nullptr;
  }

  template <typename F>
  void for_each_waiting(F&& f) const noexcept {
    for (Driver const& driver : drivers_) {
      if (driver.state == DriverState::Waiting) {
        f(driver);
      }
    }
  }

  /// Whether some driver is still to be started.
  bool has_remaining() const noexcept {
    for (Driver const& driver : drivers_) {
      if (driver.state == DriverState::Waiting || driver.state == DriverState::Scheduled) {
        return true;
      }
    }
    return false;
  }

  u64 count() const noexcept { return drivers_.size(); }
  Driver const& driver(u64 index) const noexcept { return drivers_[index]; }

 private:
  Expected<void> add(u64 hob) noexcept {
    auto const module = load<abi::HobMemoryAllocationModule>(hob);
    if (module.name != guids::gMmSupervisorHobMemoryAllocModuleGuid ||
        module.module_name == guids::gMmSupervisorCoreGuid || module.module_name == guids::gMmSupervisorUserGuid ||
        module.module_name == guids::gMmSupervisorRing3BrokerGuid) {  // its part is played by this core
      return {};
    }
    Driver driver;
    driver.file = module.module_name;
    driver.image = Range{module.base, module.length};
    driver.entry = module.entry_point;
    read_depex(driver, next_hob(hob));
    if (!driver.malformed) {
      driver.association = depex_association(expression(driver));
      has_associations_ = has_associations_ || driver.association.kind != Association::None;
    }
    return drivers_.push_back(driver);
  }

  static void read_depex(Driver& driver, u64 hob) noexcept {
    if (hob == 0 || !is_guid_hob(hob, guids::gMmSupervisorDepexHobGuid, 0)) {
      return;
    }
    constexpr u64 kFixed = sizeof(abi::HobGuid) + sizeof(abi::DepexHobData);
    u64 const bytes = load<abi::HobHeader>(hob).length;
    if (bytes == sizeof(abi::HobGuid)) {
      return;
    }
    if (bytes < kFixed) {
      driver.malformed = true;
      return;
    }
    auto const data = load<abi::DepexHobData>(hob + sizeof(abi::HobGuid));
    driver.malformed = data.name != driver.file || data.length > bytes - kFixed;
    if (!driver.malformed) {
      driver.depex = hob + kFixed;
      driver.depex_bytes = data.length;
    }
  }

  static std::span<std::byte const> expression(Driver const& driver) noexcept {
    return {at<std::byte const>(driver.depex), driver.depex_bytes};
  }

  template <typename Enter, typename Failed>
  void drain(Enter& enter, Failed& failed) noexcept {
    while (queue_head_ < queue_.size()) {
      u64 const index = queue_[queue_head_++];
      if (drivers_[index].state != DriverState::Scheduled) {
        continue;
      }
      drivers_[index].state = DriverState::Running;
      Status const status = enter(drivers_[index]);
      if (drivers_[index].state != DriverState::Running) {
        continue;  // contained meanwhile
      }
      drivers_[index].state = status == Status::Success ? DriverState::Started : DriverState::Failed;
      if (status != Status::Success) {
        failed(drivers_[index]);
      }
    }
    queue_.clear();
    queue_head_ = 0;
  }

  template <typename Installed>
  bool schedule_ready(Installed& installed, Status& status) noexcept {
    bool any = false;
    for (u64 i = 0; i < drivers_.size(); ++i) {
      Driver const& driver = drivers_[i];
      if (driver.state == DriverState::Waiting && !driver.malformed && driver.association.kind == Association::None &&
          depex_satisfied(expression(driver), installed)) {
        if (!schedule(i).has_value()) {
          status = Status::OutOfResources;
          return false;
        }
        any = true;
      }
    }
    return any;
  }

  /// One step of the traversal that puts BEFORE drivers, the driver, AFTER drivers into the queue. An explicit stack: a
  /// chain of a thousand BEFOREs must not depend on the size of the CPU's stack.
  struct Step {
    u64 driver = 0;
    u64 next = 0;  ///< where the scan of the list goes on
    bool queued = false;
  };

  Expected<void> schedule(u64 root) noexcept {
    work_.clear();
    drivers_[root].state = DriverState::Scheduled;
    if (!has_associations_) {
      return queue_.push_back(root);
    }
    MM_TRY(work_.push_back({root, 0, false}));
    while (!work_.empty()) {
      Step& step = work_[work_.size() - 1];
      u64 const found = find_associated(step);
      if (found != drivers_.size()) {
        step.next = found + 1;
        drivers_[found].state = DriverState::Scheduled;
        MM_TRY(work_.push_back({found, 0, false}));
      } else if (!step.queued) {
        step.queued = true;
        step.next = 0;
        MM_TRY(queue_.push_back(step.driver));
      } else {
        work_.erase(work_.size() - 1);
      }
    }
    return {};
  }

  u64 find_associated(Step const& step) const noexcept {
    Association const wanted = step.queued ? Association::After : Association::Before;
    for (u64 i = step.next; i < drivers_.size(); ++i) {
      if (drivers_[i].state == DriverState::Waiting && drivers_[i].association.kind == wanted &&
          drivers_[i].association.target == drivers_[step.driver].file) {
        return i;
      }
    }
    return drivers_.size();
  }

  PoolVector<Driver, R> drivers_;
  PoolVector<u64, R> queue_;
  PoolVector<Step, R> work_;
  u64 queue_head_ = 0;
  bool running_ = false;
  bool has_associations_ = false;
};

}  // namespace mm::user
