// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/memory/page_tables.hpp"
#include "hal/roles/machine.hpp"

namespace mm::memory {

/// The way to change tables that the CPU uses: opens the write window over them, and at its end closes the window and
/// flushes the TLB of this CPU, whatever happened between. Other CPUs flush before they use what was changed.
///
///   MM_TRY(TableEdit(cpu, root).set(range, attr, source));
template <hal::Cpu C>
class TableEdit {
 public:
  TableEdit(C& cpu, PhysAddr root) noexcept : cpu_(cpu), tables_(cpu, root) { cpu_.set_write_protect(false); }
  ~TableEdit() {
    cpu_.set_write_protect(true);
    cpu_.flush_tlb();
  }
  TableEdit(TableEdit const&) = delete;
  TableEdit& operator=(TableEdit const&) = delete;

  /// As PageTables::set(), with the same errors.
  template <PageSource Source>
  Expected<void> set(Range range, PageAttr attr, Source& source) noexcept {
    return tables_.set(range, attr, source);
  }

 private:
  C& cpu_;
  PageTables<C> tables_;
};

}  // namespace mm::memory
