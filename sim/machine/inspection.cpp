// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/memory/page_tables.hpp"
#include "sim/machine/simulator_impl.hpp"

namespace mm::sim {

std::vector<hal::TraceEvent> const& Simulator::trace() const noexcept { return impl_->machine.events(); }
u64 Simulator::dropped_events() const noexcept { return impl_->machine.dropped_events(); }
u64 Simulator::dropped_frame_bytes() const noexcept { return impl_->said.dropped_bytes; }
void Simulator::clear_trace() noexcept {
  impl_->machine.events().clear();
  impl_->machine.dropped_events() = 0;
  impl_->machine.fetch_log().clear();
}
std::vector<DoubleFetch> const& Simulator::double_fetches() const noexcept {
  return impl_->machine.fetch_log().found();
}
std::vector<Frame> const& Simulator::frames() const noexcept { return impl_->said.frames; }
void Simulator::clear_frames() noexcept {
  impl_->said.frames.clear();
  impl_->said.bytes = 0;
}
std::vector<DeviceLog> Simulator::device_logs() const { return impl_->machine.devices().windows().logs(); }
std::string const& Simulator::serial_output() const noexcept { return impl_->machine.devices().serial(); }
std::optional<hal::HaltReason> Simulator::halted() const noexcept { return impl_->machine.halted(); }
std::vector<std::string> const& Simulator::ring0_reached() const noexcept { return impl_->machine.ring0_reached(); }
std::vector<std::string> const& Simulator::stale_entries() const noexcept { return impl_->machine.stale_entries(); }
bool Simulator::is_in_hlt() const noexcept { return impl_->machine.is_in_hlt(); }
bool Simulator::was_reset() const noexcept { return impl_->machine.is_off(); }
loader::LoadResult const& Simulator::layout() const noexcept { return impl_->placed; }
MachineConfig const& Simulator::config() const noexcept { return impl_->config; }
void Simulator::observe_mmis(std::function<void()> observer) { impl_->observer = std::move(observer); }
std::optional<Range> Simulator::smrr(u32 cpu) const noexcept {
  bool const has_one = impl_->config.profile == Profile::Reference && cpu < impl_->machine.cpus();
  return has_one ? std::optional{impl_->machine.cpu(cpu).msrs().smrr()} : std::nullopt;
}
u64 Simulator::user_page() const noexcept { return impl_->core.user_page(); }
std::array<Range, 4> Simulator::comm_pages() const noexcept { return impl_->core.comm_pages(); }

std::vector<PageInfo> Simulator::page_map() const {
  std::vector<PageInfo> pages;
  page_map(pages);
  return pages;
}

void Simulator::page_map(std::vector<PageInfo>& pages) const {
  pages.clear();
  if (impl_->placed.cr3 == 0) {
    return;
  }
  memory::PageTables<Ram> tables(impl_->machine.ram(), PhysAddr{impl_->placed.cr3});
  tables.for_each_leaf([&pages](Range range, memory::PageAttr attr) {
    for (u64 at = range.base; at != range.end(); at += kPageSize) {
      pages.push_back({at, attr});
    }
  });
}

void Simulator::peek(PhysAddr at, std::span<std::byte> out) const noexcept { impl_->machine.ram().read(at, out); }
void Simulator::poke(PhysAddr at, std::span<std::byte const> in) noexcept {
  impl_->machine.ram().write(at, in);
  impl_->machine.flush_all();  // it may be a table
}
std::span<u64 const> Simulator::changed_pages() const noexcept { return impl_->machine.ram().dirty_pages(); }
u64 Simulator::protected_writes() const noexcept { return impl_->machine.protected_writes(); }
u64 Simulator::user_blocks() const noexcept { return impl_->machine.user_blocks(); }

}  // namespace mm::sim
