// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>

#include "core/abi/boot.hpp"
#include "core/abi/comm.hpp"
#include "core/image/fv.hpp"
#include "core/image/pe.hpp"
#include "core/image/rsm.hpp"
#include "core/loader/boot_hobs.hpp"
#include "core/loader/descriptor_tables.hpp"
#include "core/loader/hob_list.hpp"
#include "core/loader/mmi_entry.hpp"
#include "core/loader/problems.hpp"
#include "core/loader/types.hpp"
#include "core/memory/page_tables.hpp"
#include "core/policy/policy.hpp"
#include "hal/roles/machine.hpp"

namespace mm::loader {

/// Loads the two cores, the drivers and everything they need into MMRAM. `trace` is called with ImageLoaded and
/// ImageRefused events (mmi 0, cpu 0). The first problem ends it; then MMRAM holds nothing that may be run.
///
/// Order in MMRAM, ascending: one 64 KiB tile per CPU (SMBASE(i) = base + i * 64 KiB; entry code at +0x8000, descriptor
/// and save state in the page at +0xF000), page tables, HOB list with one spare page, supervisor core, user core,
/// drivers in volume order, policy, per CPU {guard, IST stack, guard, ring-0 stack}, per CPU {guard, CPL3 stack}, GDT
/// pages, IDT, descriptor page, flag page, free pages, and MSEG where the normal world's HOB list names it. Every L1
/// table that MMRAM needs exists, so mapping a free page later takes no new table.
///
/// strict_rsm looks at the ring-3 images as they are in memory, relocated. Without it the loader does not look for RSM:
/// telling an instruction from chance bytes takes a disassembler, which the host runner has and uses before this.
template <hal::PhysMemory Mem, class Trace>
std::expected<LoadResult, LoadError> load(Mem& memory, BootInput const& input, Trace&& trace) noexcept;

namespace detail {

inline constexpr u64 kMaxHobListBytes = 1 << 20;
inline constexpr u64 kPolicySnapshotBytes = 0x400;  ///< room that a verifier wants behind the policy
inline constexpr u64 kPolicyHeaderBytes = 40;

/// State of one load(). Not reused.
template <hal::PhysMemory Mem, class Trace>
class Loader {
 public:
  Loader(Mem& memory, BootInput const& input, Trace& trace) noexcept
      : memory_(memory),
        input_(input),
        trace_(trace),
        next_(input.mmram.base),
        end_(input.mmram.end()),
        hobs_(memory, 0) {}

  std::expected<LoadResult, LoadError> run() noexcept {
    MM_TRY(check_input());
    MM_TRY(survey_volume());
    MM_TRY(survey_boot_hobs());
    MM_TRY(find_mseg());
    MM_TRY(make_page_tables());
    MM_TRY(open_normal_world());
    MM_TRY(reserve_hob_list());
    MM_TRY(load_images());
    MM_TRY(load_policy());
    MM_TRY(make_stacks());
    MM_TRY(make_tables_of_cpus());
    MM_TRY(finish_hob_list());
    MM_TRY(make_tiles());
    MM_TRY(protect_page_tables());
    result_.used_end = next_;
    return result_;
  }

  /// PageSource for the tables: pages from the bump allocator.
  Expected<PhysAddr> take_page() noexcept {
    auto const page = allocate(1, kPageSize);
    if (!page) {
      return std::unexpected(Status::OutOfResources);
    }
    return PhysAddr{*page};
  }

 private:
  template <typename T>
  using Result = std::expected<T, LoadError>;
  using Bytes = image::Bytes;

  struct Loaded {
    u64 base = 0;
    u64 bytes = 0;
    u64 entry = 0;
  };

  static std::unexpected<LoadError> fail(LoadProblem p, Status s, u64 offset = 0, Guid const& file = {}) noexcept {
    return std::unexpected(LoadError{p, s, file, offset});
  }
  static std::unexpected<LoadError> fail(image::FvError e, Guid const& file = {}) noexcept {
    return fail(load_problem(e.problem), Status::VolumeCorrupted, e.offset, file);
  }

  Result<void> check_input() noexcept {
    Range const m = input_.mmram;
    bool const aligned = m.base % kPageSize == 0 && m.size % kPageSize == 0;
    if (!aligned || m.size == 0 || m.base >= kBelow || m.size > kBelow - m.base) {
      return fail(LoadProblem::BadMmram, Status::InvalidParameter, m.base);
    }
    if (input_.cpus == 0 || input_.cpus > platform::kMaxCpus) {
      return fail(LoadProblem::BadCpuCount, Status::Unsupported, input_.cpus);
    }
    auto const layout = MmiEntryLayout::parse(input_.mmi_entry);
    if (!layout) {
      return fail(layout.error(), Status::InvalidParameter);
    }
    entry_layout_ = *layout;
    if (m.size < u64{input_.cpus} * kTileBytes) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources);
    }
    next_ += u64{input_.cpus} * kTileBytes;
    return {};
  }

  // --- the firmware volume -------------------------------------------------------------------------------------

  u64 offset_of(Bytes part) const noexcept { return static_cast<u64>(part.data() - input_.fv.data()); }

  static bool is_ours(image::FvFile const& f) noexcept {
    return f.type == image::file_type::kMmCoreStandalone || is_driver(f) || is_policy(f);
  }
  static bool is_driver(image::FvFile const& f) noexcept {
    return f.type == image::file_type::kMmStandalone && f.name != guids::gMmSupervisorRing3BrokerGuid;
  }
  static bool is_policy(image::FvFile const& f) noexcept {
    return f.type == image::file_type::kFreeform && f.name == guids::gMmSupervisorPolicyFileGuid;
  }

  /// Calls f(FvFile) -> Result<void> for each file, in volume order.
  template <typename F>
  Result<void> each_file(F&& f) noexcept {
    auto const fv = image::FirmwareVolume::parse(input_.fv);
    if (!fv) {
      return fail(fv.error());
    }
    image::FileWalker files = fv->files();
    for (;;) {
      auto const file = files.next();
      if (!file) {
        return fail(file.error());
      }
      if (!*file) {
        return {};
      }
      MM_TRY(f(**file));
    }
  }

  Result<std::optional<image::FvSection>> section_of(image::FvFile const& file, u8 type) noexcept {
    auto const section = image::find_section(file.body, type);
    if (!section) {
      image::FvError e = section.error();
      e.offset += offset_of(file.body);
      return fail(e, file.name);
    }
    return *section;
  }

  /// First pass: every file and section that will be used is well-formed; counts what the HOB list needs.
  Result<void> survey_volume() noexcept {
    return each_file([this](image::FvFile const& file) -> Result<void> {
      if (!is_ours(file)) {
        return {};
      }
      image::SectionWalker sections{file.body};
      for (;;) {
        auto const section = sections.next();
        if (!section) {
          return fail(image::FvError{section.error().problem, section.error().offset + offset_of(file.body)},
                      file.name);
        }
        if (!*section) {
          break;
        }
      }
      return is_driver(file) ? survey_driver(file) : Result<void>{};
    });
  }

  Result<void> survey_driver(image::FvFile const& file) noexcept {
    MM_TRY_ASSIGN(auto const depex, section_of(file, image::section_type::kMmDepex));
    hob_bytes_ += sizeof(abi::HobMemoryAllocationModule);
    if (depex) {
      u64 const bytes = guid_hob_bytes(sizeof(abi::DepexHobData) + depex->body.size());
      if (bytes > 0xFFF8) {
        return fail(LoadProblem::DepexTooLarge, Status::BadBufferSize, offset_of(depex->body), file.name);
      }
      hob_bytes_ += bytes;
    }
    return {};
  }

  // --- the normal world's HOBs -----------------------------------------------------------------------------------

  /// MMRAM and MP information are written anew; module HOBs under the supervisor's names would be taken for ours.
  static bool is_copied(Hob const& hob) noexcept {
    if (hob.type == abi::HobType::MemoryAllocation && hob.bytes.size() >= sizeof(abi::HobMemoryAllocationModule)) {
      return image::load_guid(hob.bytes, 8) != guids::gMmSupervisorHobMemoryAllocModuleGuid;
    }
    return hob.type != abi::HobType::Unused && !hob.is_guid(guids::gEfiMmPeiMmramMemoryReserveGuid) &&
           !hob.is_guid(guids::gEfiSmmSmramMemoryGuid) && !hob.is_guid(guids::gMpInformationHobGuid) &&
           !hob.is_guid(guids::gMmSupervisorPassDownHobGuid) && !hob.is_guid(guids::gMmSupervisorDepexHobGuid) &&
           !hob.is_guid(abi::kTestOptionsHobGuid);
  }

  /// Calls f(Hob) -> Result<void> for each HOB before END.
  template <typename F>
  Result<void> each_boot_hob(F&& f) noexcept {
    HobWalker hobs{input_.boot_hobs};
    for (;;) {
      auto const hob = hobs.next();
      if (!hob) {
        return std::unexpected(hob.error());
      }
      if (!*hob) {
        return {};
      }
      MM_TRY(f(**hob));
    }
  }

  Result<void> survey_boot_hobs() noexcept {
    if (image::load_le<u16>(input_.boot_hobs, 0) != static_cast<u16>(abi::HobType::Handoff)) {
      return fail(LoadProblem::HobNoHandoff, Status::CompromisedData);
    }
    MM_TRY(each_boot_hob([this](Hob const& hob) -> Result<void> {
      hob_bytes_ += is_copied(hob) ? hob.bytes.size() : 0;
      return {};
    }));
    hob_bytes_ += guid_hob_bytes(sizeof(abi::MpInformationHeader) + input_.cpus * sizeof(abi::ProcessorInformation));
    hob_bytes_ += guid_hob_bytes(sizeof(abi::TestOptions)) + guid_hob_bytes(sizeof(abi::PassDown));
    hob_bytes_ += 2 * sizeof(abi::HobMemoryAllocationModule) + guid_hob_bytes(8 + 3 * sizeof(abi::MmramDescriptor));
    hob_bytes_ += sizeof(abi::HobHeader);
    if (hob_bytes_ > kMaxHobListBytes) {
      return fail(LoadProblem::HobListTooLarge, Status::OutOfResources, hob_bytes_);
    }
    return {};
  }

  /// MSEG ends MMRAM, and is not for allocation. One that is malformed counts as none, as for the supervisor, which
  /// also refuses a second one.
  Result<void> find_mseg() noexcept {
    return each_boot_hob([this](Hob const& hob) -> Result<void> {
      Bytes const p = hob.payload();
      if (!hob.is_guid(guids::gMsegSmramGuid) || mseg_.size != 0 || p.size() < sizeof(abi::MmramDescriptor)) {
        return {};
      }
      Range const range{image::load_le<u64>(p, 8), image::load_le<u64>(p, 16)};
      if ((range.base | range.size) % kPageSize != 0 || range.size == 0 || !input_.mmram.contains(range)) {
        return {};
      }
      if (range.end() != input_.mmram.end() || range.base <= next_) {
        return fail(LoadProblem::BadMseg, Status::InvalidParameter, hob.offset);
      }
      mseg_ = range;
      end_ = range.base;
      return {};
    });
  }

  /// Maps communicate buffers, mailboxes and what unblock and protected-region HOBs name.
  Result<void> open_normal_world() noexcept {
    bool user = false;
    bool supervisor = false;
    MM_TRY(each_boot_hob([&](Hob const& hob) -> Result<void> {
      Bytes const p = hob.payload();
      if (hob.is_guid(guids::gMmCommBufferHobGuid)) {
        user = true;
        return open_channel(hob, sizeof(abi::MmCommBuffer), 0, 16);
      }
      if (hob.is_guid(guids::gMmCommonRegionHobGuid)) {
        if (p.size() < sizeof(abi::MmCommonRegion) || image::load_le<u64>(p, 0) != 0) {
          return fail(LoadProblem::CommBufferBad, Status::Unsupported, hob.offset);
        }
        supervisor = true;
        return open_channel(hob, sizeof(abi::MmCommonRegion), 8, 24);
      }
      return {};
    }));
    if (!user || !supervisor) {
      return fail(LoadProblem::CommBufferMissing, Status::NotFound);
    }
    return each_boot_hob([this](Hob const& hob) -> Result<void> {
      if (hob.is_guid(guids::gMmProtectedRegionHobGuid)) {
        return open_protected(hob);
      }
      return hob.is_guid(guids::gMmSupvUnblockRegionHobGuid) ? open_unblocked(hob) : Result<void>{};
    });
  }

  /// An IOMMU's registers are ring 3's to read. What cannot be mapped is left to the supervisor, which refuses it.
  Result<void> open_protected(Hob const& hob) noexcept {
    Bytes const p = hob.payload();
    u64 const base = image::load_le<u64>(p, 8);
    u64 const pages = image::load_le<u64>(p, 16);
    Range const region{base, pages << kPageShift};
    if (p.size() < sizeof(abi::MmProtectedRegion) || image::load_le<u64>(p, 0) != abi::kProtectedIommu || pages == 0 ||
        pages > kBelow >> kPageShift || base % kPageSize != 0 || !outside_mmram(region) || any_mapped(region)) {
      return {};
    }
    return map(region, memory::kUserReadOnly);
  }

  bool outside_mmram(Range r) const noexcept {
    return r.base >= kPageSize && r.size != 0 && r.base < memory::kAddressLimit &&
           r.size <= memory::kAddressLimit - r.base && !r.overlaps(input_.mmram);
  }

  bool any_mapped(Range pages) noexcept {
    for (u64 at = 0; at < pages.size; at += kPageSize) {
      if (tables().query(pages.base + at)) {
        return true;
      }
    }
    return false;
  }

  /// `at`: offset of {address, pages} in the payload, `status_at`: of the mailbox address.
  Result<void> open_channel(Hob const& hob, u64 payload_bytes, u64 at, u64 status_at) noexcept {
    Bytes const p = hob.payload();
    u64 const base = image::load_le<u64>(p, at);
    u64 const pages = image::load_le<u64>(p, at + 8);
    u64 const status = image::load_le<u64>(p, status_at);
    Range const buffer{base, pages << kPageShift};
    Range const mailbox{align_down(status, kPageSize), kPageSize};
    bool const sizes = p.size() >= payload_bytes && pages != 0 && pages <= kBelow >> kPageShift;
    bool const fit = status % kPageSize <= kPageSize - sizeof(abi::CommBufferStatus);
    if (!sizes || !fit || base % kPageSize != 0 || !outside_mmram(buffer) || !outside_mmram(mailbox)) {
      return fail(LoadProblem::CommBufferBad, Status::SecurityViolation, hob.offset);
    }
    // Mailboxes may share a page; a buffer shares none with anything.
    if (any_mapped(buffer) || buffer.overlaps(mailbox) || first_buffer_.overlaps(mailbox)) {
      return fail(LoadProblem::CommBufferBad, Status::SecurityViolation, hob.offset);
    }
    first_buffer_ = buffer;
    MM_TRY(map(buffer, memory::kSupervisorData));
    return map(mailbox, memory::kSupervisorData);
  }

  Result<void> open_unblocked(Hob const& hob) noexcept {
    Bytes const p = hob.payload();
    u64 const base = image::load_le<u64>(p, 8);
    u64 const pages = image::load_le<u64>(p, 24);
    bool const supervisor = (image::load_le<u64>(p, 32) & abi::kMemorySp) != 0;
    Range const region{base, pages << kPageShift};
    bool const sizes = p.size() >= sizeof(abi::UnblockMemoryParams) && pages != 0 && pages <= kBelow >> kPageShift;
    if (!sizes || base % kPageSize != 0 || !outside_mmram(region) || image::load_guid(p, 40).is_zero()) {
      return fail(LoadProblem::UnblockBad, Status::InvalidParameter, hob.offset);
    }
    if (any_mapped(region)) {
      return fail(LoadProblem::UnblockBad, Status::SecurityViolation, hob.offset);
    }
    return map(region, supervisor ? memory::kSupervisorData : memory::kUserData);
  }

  // --- pages -----------------------------------------------------------------------------------------------------

  /// `pages` zeroed pages, aligned to the power of two `align`.
  Result<u64> allocate(u64 pages, u64 align) noexcept {
    u64 const base = align_up(next_, align);
    if (base > end_ || pages > (end_ - base) >> kPageShift) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources, pages);
    }
    next_ = base + (pages << kPageShift);
    memory_.zero(PhysAddr{base}, pages << kPageShift);
    return base;
  }
  Result<u64> allocate_mapped(u64 pages, memory::PageAttr attr) noexcept {
    MM_TRY_ASSIGN(u64 const base, allocate(pages, kPageSize));
    MM_TRY(map(Range{base, pages << kPageShift}, attr));
    return base;
  }
  Result<void> map(Range range, memory::PageAttr attr) noexcept {
    if (auto const done = tables().set(range, attr, *this); !done) {
      bool const full = done.error() == Status::OutOfResources;
      return fail(full ? LoadProblem::OutOfMmram : LoadProblem::PageTables, done.error(), range.base);
    }
    return {};
  }

  Result<void> make_page_tables() noexcept {
    MM_TRY_ASSIGN(u64 const root, allocate(1, kPageSize));
    result_.cr3 = root;
    MM_TRY(map(input_.mmram, memory::kSupervisorData));
    MM_TRY(map(input_.mmram, memory::PageAttr{}));
    if (mseg_.size == 0) {
      return {};
    }
    memory_.zero(PhysAddr{mseg_.base}, mseg_.size);
    return map(mseg_, memory::kSupervisorReadOnly);
  }

  /// Page-table pages become read-only to the supervisor. All of them are in MMRAM, whose tables exist.
  Result<void> protect_page_tables() noexcept {
    Result<void> done{};
    tables().for_each_table([this, &done](PhysAddr table) {
      if (done) {
        done = map(Range{raw(table), kPageSize}, memory::kSupervisorReadOnly);
      }
    });
    return done;
  }

  // --- images ----------------------------------------------------------------------------------------------------

  Result<void> load_images() noexcept {
    MM_TRY_ASSIGN(Loaded const core, load_core(guids::gMmSupervisorCoreGuid, false, LoadProblem::SupervisorMissing));
    result_.supervisor_base = core.base;
    result_.supervisor_bytes = core.bytes;
    result_.supervisor_entry = core.entry;
    MM_TRY_ASSIGN(Loaded const user, load_core(guids::gMmSupervisorUserGuid, true, LoadProblem::UserCoreMissing));
    result_.user_base = user.base;
    result_.user_bytes = user.bytes;
    result_.user_entry = user.entry;
    return each_file([this](image::FvFile const& file) -> Result<void> {
      return is_driver(file) ? load_driver(file) : Result<void>{};
    });
  }

  /// The first core file of the name; later ones are ignored.
  Result<Loaded> load_core(Guid const& name, bool user, LoadProblem missing) noexcept {
    bool found = false;
    Loaded core;
    MM_TRY(each_file([&](image::FvFile const& file) -> Result<void> {
      if (found || file.type != image::file_type::kMmCoreStandalone || file.name != name) {
        return {};
      }
      found = true;
      MM_TRY_ASSIGN(core, load_file(file, user));
      return {};
    }));
    if (!found) {
      return fail(missing, Status::NotFound, 0, name);
    }
    module_hob(name, core);
    return core;
  }

  Result<void> load_driver(image::FvFile const& file) noexcept {
    MM_TRY_ASSIGN(Loaded const driver, load_file(file, true));
    module_hob(file.name, driver);
    ++result_.drivers;
    MM_TRY_ASSIGN(auto const depex, section_of(file, image::section_type::kMmDepex));
    if (depex) {
      hobs_.guid_header(guids::gMmSupervisorDepexHobGuid, sizeof(abi::DepexHobData) + depex->body.size());
      hobs_.object(abi::DepexHobData{file.name, depex->body.size()});
      hobs_.raw_bytes(depex->body);
      hobs_.pad();
    }
    return {};
  }

  void module_hob(Guid const& name, Loaded const& image) noexcept {
    abi::HobMemoryAllocationModule hob;
    hob.name = guids::gMmSupervisorHobMemoryAllocModuleGuid;
    hob.base = image.base;
    hob.length = image.bytes;
    hob.module_name = name;
    hob.entry_point = image.entry;
    hobs_.object(hob);
  }

  /// Loads the PE32 section of `file` and tells the trace how that went.
  Result<Loaded> load_file(image::FvFile const& file, bool user) noexcept {
    Result<Loaded> loaded = try_load_file(file, user);
    hal::TraceEvent event;
    Guid const& g = file.name;
    event.c = g.data1 | u64{g.data2} << 32 | u64{g.data3} << 48;
    for (unsigned i = 0; i < 8; ++i) {
      event.d |= u64{g.data4[i]} << (8 * i);
    }
    if (loaded) {
      event.kind = hal::TraceKind::ImageLoaded;
      event.a = loaded->base;
      event.b = loaded->bytes;
      event.e = user ? 1 : 0;
    } else {
      loaded.error().file = file.name;
      event.kind = hal::TraceKind::ImageRefused;
      event.a = static_cast<u64>(loaded.error().problem);
      event.b = static_cast<u64>(loaded.error().status);
    }
    trace_(event);
    return loaded;
  }

  Result<Loaded> try_load_file(image::FvFile const& file, bool user) noexcept {
    MM_TRY_ASSIGN(auto const section, section_of(file, image::section_type::kPe32));
    if (!section) {
      return fail(LoadProblem::NoPe32Section, Status::NotFound, file.offset);
    }
    auto const image = image::PeImage::parse(section->body);
    if (!image) {
      return fail(load_problem(image.error().problem), Status::LoadError, image.error().offset);
    }
    u64 const pages = pages_for(image->size_of_image());
    MM_TRY_ASSIGN(u64 const base, allocate(pages, image->section_alignment()));
    copy_image(*image, base);
    relocate(*image, base);
    MM_TRY(map_image(*image, Range{base, pages << kPageShift}, user));
    if (user && input_.strict_rsm != 0) {
      MM_TRY(refuse_rsm(Range{base, pages << kPageShift}));
    }
    return Loaded{base, pages << kPageShift, base + image->entry_rva()};
  }

  void copy_image(image::PeImage const& image, u64 base) noexcept {
    memory_.write(PhysAddr{base}, image::slice(image.file(), 0, image.size_of_headers()));
    for (u32 i = 0; i < image.section_count(); ++i) {
      Bytes const bytes = image.section_bytes(i);
      if (!bytes.empty()) {
        memory_.write(PhysAddr{base + image.section(i).rva}, bytes);
      }
    }
  }

  void relocate(image::PeImage const& image, u64 base) noexcept {
    u64 const delta = base - image.image_base();
    image.for_each_relocation([this, base, delta](image::PeRelocation r) {
      PhysAddr const at{base + r.rva};
      if (r.width == 8) {
        hal::write_object(memory_, at, hal::read_object<u64>(memory_, at) + delta);
      } else {
        hal::write_object(memory_, at, static_cast<u32>(hal::read_object<u32>(memory_, at) + delta));
      }
    });
  }

  /// Code RX, writable data RW NX, all the rest (headers, read-only data, gaps) R NX.
  Result<void> map_image(image::PeImage const& image, Range range, bool user) noexcept {
    MM_TRY(map(range, memory::PageAttr{true, false, user, false}));
    for (u32 i = 0; i < image.section_count(); ++i) {
      image::PeSection const s = image.section(i);
      if (s.virtual_size != 0 && (s.writable() || s.executable())) {
        Range const pages{range.base + s.rva, align_up(s.virtual_size, kPageSize)};
        MM_TRY(map(pages, memory::PageAttr{true, s.writable(), user, s.executable()}));
      }
    }
    return {};
  }

  Result<void> refuse_rsm(Range range) noexcept {
    image::RsmScanner scanner;
    std::optional<u64> found;
    std::array<std::byte, 256> piece;
    for (u64 at = 0; at < range.size; at += piece.size()) {
      auto const attr = tables().query(range.base + at);
      if (!attr || !attr->executable) {
        scanner.restart();
        continue;
      }
      memory_.read(PhysAddr{range.base + at}, piece);
      scanner.feed(piece, at, [&found](u64 rva) { found = found.value_or(rva); });
    }
    if (found) {
      return fail(LoadProblem::ImageRsm, Status::SecurityViolation, *found);
    }
    return {};
  }

  // --- policy, stacks, tables ------------------------------------------------------------------------------------

  Result<void> load_policy() noexcept {
    return each_file([this](image::FvFile const& file) -> Result<void> {
      if (!is_policy(file) || result_.policy != 0) {
        return {};
      }
      MM_TRY_ASSIGN(auto const section, section_of(file, image::section_type::kRaw));
      if (!section) {
        return fail(LoadProblem::PolicyNoRaw, Status::NotFound, file.offset, file.name);
      }
      u64 const size = image::load_le<u32>(section->body, 4);
      if (size < kPolicyHeaderBytes || size > section->body.size() || size > policy::kMaxBytes) {
        return fail(LoadProblem::PolicySize, Status::BadBufferSize, offset_of(section->body) + 4, file.name);
      }
      MM_TRY_ASSIGN(result_.policy,
                    allocate_mapped(pages_for(size + kPolicySnapshotBytes), memory::kSupervisorReadOnly));
      result_.policy_bytes = size;
      memory_.write(PhysAddr{result_.policy}, image::slice(section->body, 0, size));
      return {};
    });
  }

  Result<void> make_stacks() noexcept {
    for (u32 i = 0; i < input_.cpus; ++i) {
      MM_TRY(allocate(1, kPageSize));  // guard
      MM_TRY_ASSIGN(u64 const ist, allocate_mapped(kIstStackBytes >> kPageShift, memory::kSupervisorData));
      MM_TRY(allocate(1, kPageSize));  // guard
      MM_TRY_ASSIGN(u64 const stack, allocate_mapped(kRing0StackBytes >> kPageShift, memory::kSupervisorData));
      result_.ist_stack_top[i] = ist + kIstStackBytes;
      result_.ring0_stack_top[i] = stack + kRing0StackBytes;
      hal::write_object(memory_, PhysAddr{result_.ring0_stack_top[i] - 8}, u64{i});
    }
    MM_TRY_ASSIGN(result_.cpl3_stack_base, allocate(input_.cpus * (kCpl3StackBytes >> kPageShift), kPageSize));
    for (u32 i = 0; i < input_.cpus; ++i) {
      // The lowest page of each stack is its guard.
      u64 const guard = result_.cpl3_stack_base + i * kCpl3StackBytes;
      MM_TRY(map(Range{guard + kPageSize, kCpl3StackBytes - kPageSize}, memory::kUserData));
    }
    return {};
  }

  Result<void> make_tables_of_cpus() noexcept {
    MM_TRY_ASSIGN(result_.gdt0, allocate_mapped(input_.cpus, memory::kSupervisorReadOnly));
    MM_TRY_ASSIGN(result_.idt, allocate_mapped(1, memory::kSupervisorReadOnly));
    MM_TRY_ASSIGN(u64 const page, allocate_mapped(1, memory::kSupervisorReadOnly));
    MM_TRY_ASSIGN(result_.mm_initialized, allocate_mapped(1, memory::kSupervisorData));
    result_.idt_descriptor = page;
    result_.smbase_array = page + 0x40;
    write_pseudo_descriptor(memory_, result_.idt_descriptor, 0xFFF, result_.idt);
    for (u32 i = 0; i < input_.cpus; ++i) {
      result_.smbase[i] = input_.mmram.base + i * kTileBytes;
      hal::write_object(memory_, PhysAddr{result_.smbase_array + 8 * i}, result_.smbase[i]);
      write_gdt_page(memory_, result_.gdt0 + i * kPageSize, result_.ist_stack_top[i]);
    }
    return {};
  }

  // --- HOB list --------------------------------------------------------------------------------------------------

  /// Reserves the list and writes what comes before the module HOBs.
  Result<void> reserve_hob_list() noexcept {
    u64 const pages = pages_for(hob_bytes_) + 1;
    MM_TRY_ASSIGN(result_.hob_list, allocate_mapped(pages, memory::kSupervisorData));
    result_.hob_bytes = pages << kPageShift;
    hobs_.move_to(result_.hob_list);
    MM_TRY(each_boot_hob([this](Hob const& hob) -> Result<void> {
      if (is_copied(hob)) {
        hobs_.raw_bytes(hob.bytes);
      }
      return {};
    }));
    mp_information_hob(hobs_, input_.cpus, input_.apic_ids);
    hobs_.guid(abi::kTestOptionsHobGuid, abi::TestOptions{input_.fault_policy, input_.smap});
    return {};
  }

  /// PassDown, MMRAM, END. Nothing may be allocated after this: the MMRAM HOB tells what is free.
  Result<void> finish_hob_list() noexcept {
    abi::PassDown down;
    down.cpl3_stack_base = result_.cpl3_stack_base;
    down.cpl3_per_core_stack_size = kCpl3StackBytes;
    down.smbase = result_.smbase_array;
    down.mm_initialized = result_.mm_initialized;
    down.policy = result_.policy;
    down.policy_size = result_.policy_bytes;
    down.mmi_entry_size = input_.mmi_entry.size();
    result_.pass_down = hobs_.position() + sizeof(abi::HobGuid);
    hobs_.guid(guids::gMmSupervisorPassDownHobGuid, down);
    if (next_ == end_) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources);  // an empty free region would make the HOB invalid
    }
    mmram_regions();
    u64 const end = hobs_.position();
    hobs_.end();
    auto phit = hal::read_object<abi::HobHandoff>(memory_, PhysAddr{result_.hob_list});
    phit.end_of_hob_list = end + sizeof(abi::HobHeader);
    hal::write_object(memory_, PhysAddr{result_.hob_list}, phit);
    return {};
  }

  void mmram_regions() noexcept {
    u64 const base = input_.mmram.base;
    u64 const state = abi::kMmramClosed | abi::kMmramCacheable;
    abi::MmramDescriptor const used{base, base, next_ - base, state | abi::kMmramAllocated};
    abi::MmramDescriptor const unused{next_, next_, end_ - next_, state};
    if (mseg_.size == 0) {
      return mmram_hob(hobs_, guids::gEfiSmmSmramMemoryGuid, std::array{used, unused});
    }
    abi::MmramDescriptor const mseg{mseg_.base, mseg_.base, mseg_.size, state | abi::kMmramAllocated};
    mmram_hob(hobs_, guids::gEfiSmmSmramMemoryGuid, std::array{used, unused, mseg});
  }

  // --- MMI entry code --------------------------------------------------------------------------------------------

  Result<void> make_tiles() noexcept {
    u64 const entry_bytes = pages_for(input_.mmi_entry.size()) << kPageShift;
    for (u32 i = 0; i < input_.cpus; ++i) {
      u64 const smbase = result_.smbase[i];
      memory_.zero(PhysAddr{smbase}, kTileBytes);
      memory_.write(PhysAddr{smbase + kEntryOffset}, input_.mmi_entry);
      fix_up(smbase + kEntryOffset, i);
      processor_descriptor(smbase + kPsdOffset);
      MM_TRY(map(Range{smbase + kEntryOffset, entry_bytes}, memory::kSupervisorCode));
      MM_TRY(map(Range{align_down(smbase + kPsdOffset, kPageSize), kPageSize}, memory::kSupervisorData));
    }
    return {};
  }

  /// Fills the fix-ups of one copy of the entry binary (supervisor.md 2.3). FixUp8[4], reserved there, is CR4.SMAP.
  void fix_up(u64 entry, u32 cpu) noexcept {
    std::array<u64, MmiEntryLayout::kFixUp64> const f64{
        0, 0, result_.supervisor_entry, 0, 0, result_.idt_descriptor, result_.hob_list};
    std::array<u32, MmiEntryLayout::kFixUp32> const f32{
        0,
        static_cast<u32>(result_.gdt0 + cpu * kPageSize + arch::kGdtPseudoOffset),
        static_cast<u32>(result_.cr3),
        0,
        0,
        static_cast<u32>(result_.ring0_stack_top[cpu] - 8),
        static_cast<u32>(result_.smbase[cpu])};
    std::array<u8, MmiEntryLayout::kFixUp8> const f8{1, 0, 0, 0, static_cast<u8>(input_.smap != 0 ? 1 : 0)};
    hal::write_object(memory_, PhysAddr{entry + entry_layout_.fixup64}, f64);
    hal::write_object(memory_, PhysAddr{entry + entry_layout_.fixup32}, f32);
    hal::write_object(memory_, PhysAddr{entry + entry_layout_.fixup8}, f8);
  }

  /// Selectors that the entry code loads, at the offsets of the TXT processor SMM descriptor (supervisor.md 4.1 step
  /// 9).
  void processor_descriptor(u64 at) noexcept {
    constexpr u16 kCode = arch::kSupervisorCodeSelector;
    constexpr u16 kData = arch::kSupervisorDataSelector;
    std::array<u16, 4> const selectors{kCode, kData, kData, kData};  // CS, DS, SS, other
    hal::write_object(memory_, PhysAddr{at + 0x14}, selectors);
  }

  memory::PageTables<Mem> tables() noexcept { return {memory_, PhysAddr{result_.cr3}}; }

  static constexpr u64 kBelow = 1ull << 32;

  Mem& memory_;
  BootInput const& input_;
  Trace& trace_;
  u64 next_;           ///< first free byte of MMRAM
  u64 end_;            ///< of what may be allocated
  Range mseg_;         ///< empty: none
  u64 hob_bytes_ = 0;  ///< of the finished HOB list
  HobWriter<Mem> hobs_;
  Range first_buffer_;  ///< communicate buffer that was opened first
  MmiEntryLayout entry_layout_;
  LoadResult result_;
};

}  // namespace detail

template <hal::PhysMemory Mem, class Trace>
std::expected<LoadResult, LoadError> load(Mem& memory, BootInput const& input, Trace&& trace) noexcept {
  return detail::Loader<Mem, std::remove_reference_t<Trace>>{memory, input, trace}.run();
}

}  // namespace mm::loader
