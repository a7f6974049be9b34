// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <compare>
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
  u64 handle = 0;  ///< of the image in the handle database; what its entry point gets
  u64 entry = 0;
  u64 depex = 0;           ///< address of the expression
  u64 depex_bytes = 0;     ///< 0: no dependency
  bool malformed = false;  ///< depex HOB that contradicts itself: never dispatched
  bool candidate = false;  ///< its dependency is to be evaluated by the next scan
  DriverState state = DriverState::Waiting;
  DepexAssociation association;
};

/// Finds drivers and starts them in dependency order (core/user/RING3.md 2.4 to 2.6). All state is in the
/// object, so that a run which a fault cut off is resumed by calling run() again.
///
/// A scan gives the order of a scan over all drivers, but evaluates only those for which a protocol came or went since
/// the last one: n drivers with m PUSHes cost (n + m) log (n + m) in all.
template <Ring3 R>
class Dispatcher {
 public:
  explicit constexpr Dispatcher(Pool<R>& pool) noexcept
      : drivers_(pool), queue_(pool), candidates_(pool), by_base_(pool), edges_(pool), work_(pool) {}

  /// Collects the drivers of the HOB list, in its order. OutOfResources.
  Expected<void> discover(u64 hob_list) noexcept {
    drivers_.clear();
    Expected<void> result;
    for_each_hob(hob_list, [&](u64 hob, abi::HobHeader const& header) {
      if (result.has_value() && header.type == static_cast<u16>(abi::HobType::MemoryAllocation) &&
          header.length == sizeof(abi::HobMemoryAllocationModule)) {
        result = add(hob);
      }
    });
    MM_TRY(result);
    return index_drivers();
  }

  /// A protocol was installed or removed: who waits for it is looked at again.
  void protocol_changed(Guid const& protocol) noexcept {
    for (u64 i = first_edge(protocol, EdgeKind::Push); has_edge(i, protocol, EdgeKind::Push); ++i) {
      add_candidate(edges_[i].driver);
    }
  }

  /// Dispatches until a scan schedules nothing more. `enter(driver) -> Status` runs one entry point, `installed(guid)`
  /// answers depexes, `failed(driver)` is told of an error status. AlreadyStarted when called from inside itself.
  template <typename Enter, typename Installed, typename Failed>
  Status run(Enter&& enter, Installed&& installed, Failed&& failed) noexcept {
    if (running_) {
      return Status::AlreadyStarted;
    }
    running_ = true;
    do {
      drain(enter, failed);
    } while (schedule_ready(installed));
    running_ = false;
    return Status::Success;
  }

  /// After a fault: the entry point under way will not return. The driver is given to `f(driver)` when there is one.
  template <typename F>
  void abandon_run(F&& f) noexcept {
    if (running_ && current_ != kNone && drivers_[current_].state == DriverState::Running) {
      drivers_[current_].state = DriverState::Contained;
      f(drivers_[current_]);
    }
    running_ = false;
    current_ = kNone;
  }

  /// The driver whose image holds `address`, or null. The pointer is good until the next discover().
  Driver* find_image(u64 address) noexcept {
    auto const above = std::upper_bound(by_base_.begin(), by_base_.end(), address,
                                        [this](u64 a, u32 driver) { return a < drivers_[driver].image.base; });
    if (above == by_base_.begin()) {
      return nullptr;
    }
    Driver& driver = drivers_[*(above - 1)];
    return driver.image.contains({address, 1}) ? &driver : nullptr;
  }

  /// What keeps a waiting driver: each GUID of its expression that `installed` denies, or the file that it names by
  /// BEFORE or AFTER.
  template <typename Installed, typename F>
  static void for_each_need(Driver const& driver, Installed&& installed, F&& f) noexcept {
    if (driver.association.kind != Association::None) {
      f(driver.association.target);
    } else if (!driver.malformed) {
      for_each_push(expression(driver), [&](Guid const& guid) {
        if (!installed(guid)) {
          f(guid);
        }
      });
    }
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

  /// The drivers stand in the order of discovery.
  template <typename F>
  void for_each_driver(F&& f) noexcept {
    for (Driver& driver : drivers_) {
      f(driver);
    }
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
    }
    return drivers_.push_back(driver);
  }

  /// Sorts what the scans look up, and takes all the memory they need: after this a run cannot fail.
  Expected<void> index_drivers() noexcept {
    u64 const count = drivers_.size();
    u64 edges = 0;
    edges_.clear();
    candidates_.clear();
    by_base_.clear();
    for (Driver const& driver : drivers_) {
      for_each_edge(driver, [&edges](Guid const&, EdgeKind) { ++edges; });
    }
    MM_TRY(edges_.reserve(edges));
    MM_TRY(queue_.reserve(count));
    MM_TRY(candidates_.reserve(count));
    MM_TRY(by_base_.reserve(count));
    MM_TRY(work_.reserve(count));
    for (u32 i = 0; i < count; ++i) {
      for_each_edge(drivers_[i],
                    [&](Guid const& guid, EdgeKind kind) { static_cast<void>(edges_.push_back({guid, kind, i})); });
      static_cast<void>(by_base_.push_back(i));
      add_candidate(i);
    }
    std::sort(edges_.begin(), edges_.end());
    std::sort(by_base_.begin(), by_base_.end(),
              [this](u32 a, u32 b) { return drivers_[a].image.base < drivers_[b].image.base; });
    return {};
  }

  /// Who waits for what: a PUSH of a protocol, or BEFORE or AFTER of a file.
  enum class EdgeKind : u32 { Push, Before, After };
  struct Edge {
    Guid guid;
    EdgeKind kind{};
    u32 driver = 0;
    friend auto operator<=>(Edge const&, Edge const&) = default;
  };

  template <typename F>
  static void for_each_edge(Driver const& driver, F&& f) noexcept {
    if (driver.association.kind != Association::None) {
      f(driver.association.target, driver.association.kind == Association::Before ? EdgeKind::Before : EdgeKind::After);
    } else if (!driver.malformed) {
      for_each_push(expression(driver), [&f](Guid const& guid) { f(guid, EdgeKind::Push); });
    }
  }
  u64 first_edge(Guid const& guid, EdgeKind kind) const noexcept {
    return static_cast<u64>(std::lower_bound(edges_.begin(), edges_.end(), Edge{guid, kind, 0}) - edges_.begin());
  }
  bool has_edge(u64 index, Guid const& guid, EdgeKind kind) const noexcept {
    return index < edges_.size() && edges_[index].guid == guid && edges_[index].kind == kind;
  }

  void add_candidate(u32 index) noexcept {
    Driver& driver = drivers_[index];
    bool const can_wait =
        driver.state == DriverState::Waiting && !driver.malformed && driver.association.kind == Association::None;
    if (can_wait && !driver.candidate) {
      driver.candidate = true;
      static_cast<void>(candidates_.push_back(index));
    }
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
      u32 const index = queue_[queue_head_++];
      if (drivers_[index].state != DriverState::Scheduled) {
        continue;
      }
      drivers_[index].state = DriverState::Running;
      current_ = index;
      Status const status = enter(drivers_[index]);
      current_ = kNone;
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

  /// One scan, in the order of discovery.
  template <typename Installed>
  bool schedule_ready(Installed& installed) noexcept {
    bool any = false;
    std::sort(candidates_.begin(), candidates_.end());
    for (u32 const index : candidates_) {
      Driver& driver = drivers_[index];
      driver.candidate = false;
      if (driver.state == DriverState::Waiting && depex_satisfied(expression(driver), installed)) {
        schedule(index);
        any = true;
      }
    }
    candidates_.clear();
    return any;
  }

  /// One step of the traversal that puts BEFORE drivers, the driver, AFTER drivers into the queue. An explicit stack: a
  /// chain of a thousand BEFOREs must not depend on the size of the CPU's stack.
  struct Step {
    u32 driver = 0;
    bool queued = false;
    u64 edge = 0;  ///< where the search for its associated drivers goes on
  };

  void begin(u32 index) noexcept {
    drivers_[index].state = DriverState::Scheduled;
    static_cast<void>(work_.push_back({index, false, first_edge(drivers_[index].file, EdgeKind::Before)}));
  }

  void schedule(u32 root) noexcept {
    work_.clear();
    begin(root);
    while (!work_.empty()) {
      Step& step = work_[work_.size() - 1];
      if (u32 const found = next_associated(step); found != kNone) {
        begin(found);
      } else if (!step.queued) {
        step.queued = true;
        step.edge = first_edge(drivers_[step.driver].file, EdgeKind::After);
        static_cast<void>(queue_.push_back(step.driver));
      } else {
        work_.erase(work_.size() - 1);
      }
    }
  }

  u32 next_associated(Step& step) const noexcept {
    EdgeKind const kind = step.queued ? EdgeKind::After : EdgeKind::Before;
    while (has_edge(step.edge, drivers_[step.driver].file, kind)) {
      u32 const found = edges_[step.edge++].driver;
      if (drivers_[found].state == DriverState::Waiting) {
        return found;
      }
    }
    return kNone;
  }

  static constexpr u32 kNone = UINT32_MAX;

  PoolVector<Driver, R> drivers_;  ///< discovery order
  PoolVector<u32, R> queue_;
  PoolVector<u32, R> candidates_;
  PoolVector<u32, R> by_base_;  ///< ascending image base
  PoolVector<Edge, R> edges_;   ///< ascending
  PoolVector<Step, R> work_;
  u64 queue_head_ = 0;
  u32 current_ = kNone;  ///< driver whose entry point is executing
  bool running_ = false;
};

}  // namespace mm::user
