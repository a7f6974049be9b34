// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <span>

#include "core/abi/boot.hpp"
#include "core/abi/comm.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/platform.hpp"
#include "core/memory/page_tables.hpp"
#include "core/request/request.hpp"
#include "core/supervisor/init_problem.hpp"
#include "core/supervisor/types.hpp"

/// The hand-over of the loader - HOB list and PassDown - as untrusted input: the union of what both references check
/// (supervisor.md 2.4 and 3.4), and each refusal by its own name.
namespace mm::supervisor {

/// What the hand-over is held against. None of it comes from the loader.
struct Ground {
  Range mmram;                                ///< that the chipset protects, locked; empty when it does not
  u64 code = 0;                               ///< an address inside the supervisor that runs
  u64 address_limit = memory::kAddressLimit;  ///< of the CPU, and of identity mapping
};

/// One channel as its HOB describes it.
struct ChannelFacts {
  Range buffer;
  u64 mailbox = 0;
  bool found = false;
};

/// What a checked hand-over says. Every range is where it must be, and mapped as it must be.
struct Handover {
  u64 list_bytes = 0;  ///< end marker included
  Range mmram;
  PhysAddr mmram_descriptors{};
  u64 mmram_count = 0;
  abi::PassDown pass_down;
  abi::TestOptions options;
  u32 cpus = 0;
  std::array<u32, platform::kMaxCpus> apic_ids{};
  std::array<u64, platform::kMaxCpus> smbase{};
  abi::HobMemoryAllocationModule core;
  abi::HobMemoryAllocationModule user;
  u32 images = 0;                          ///< ring-3 modules, user core included
  std::array<ChannelFacts, 2> channels{};  ///< by abi::Channel
  Range mseg;                              ///< empty: none
  u64 user_region_offset = 0;              ///< payload of the user buffer's HOB, from the start of the list
};

/// Reads and checks one hand-over. Every byte that decides something is read from pages that ring 3 and the normal
/// world cannot reach: the list is held against the chipset's MMRAM and the live tables before it is read.
template <hal::PhysMemory Mem>
class HandoverReader {
 public:
  /// `images` receives the ring-3 modules.
  HandoverReader(Mem& memory, PhysAddr root, Ground ground, std::span<UserImage> images) noexcept
      : memory_(memory), tables_(memory, root), ground_(ground), images_(images) {}

  /// Both stages. The first problem ends it.
  Checked<Handover> read(PhysAddr list) noexcept;

 private:
  static constexpr u64 kMaxResources = 128;
  static constexpr u64 kMaxRegions = 256;
  static constexpr u64 kMaxCommPages = 0x1000;
  static constexpr u64 kMaxEntryBytes = 0x7000;
  static constexpr u64 kMinEntryBytes = 26;  ///< a fix-up header and the size word

  struct Hob {
    PhysAddr at{};
    abi::HobType type{};
    u64 bytes = 0;
    Guid name;  ///< of a GUID extension or memory allocation
    PhysAddr payload() const noexcept { return at + sizeof(abi::HobGuid); }
    u64 payload_bytes() const noexcept { return bytes - sizeof(abi::HobGuid); }
    bool is_guid(Guid const& guid) const noexcept { return type == abi::HobType::GuidExtension && name == guid; }
  };

  // --- the list
  Checked<void> check_readable(u64 from, u64 to) noexcept;
  Checked<u64> measure() noexcept;
  template <typename F>
  Checked<void> each(F&& f) noexcept;
  static u64 least_bytes(abi::HobType type) noexcept;

  // --- stage 1: the list by itself
  Checked<void> read_mmram() noexcept;
  Checked<void> read_hob(Hob const& hob) noexcept;
  Checked<void> read_guid_hob(Hob const& hob) noexcept;
  Checked<void> read_allocation(Hob const& hob) noexcept;
  Checked<void> read_module(PhysAddr hob) noexcept;
  Checked<void> read_resource(Hob const& hob) noexcept;
  Checked<void> read_volume(Hob const& hob) noexcept;
  Checked<void> read_pass_down(Hob const& hob) noexcept;
  Checked<void> read_processors(Hob const& hob) noexcept;
  Checked<void> read_channel(abi::Channel which, PhysAddr hob, u64 start, u64 pages, u64 mailbox) noexcept;
  Checked<void> read_options(Hob const& hob) noexcept;
  Checked<void> read_protected_region(Hob const& hob) noexcept;
  Checked<void> read_unblock(Hob const& hob) noexcept;
  Checked<void> read_mseg(Hob const& hob) noexcept;
  Checked<void> check_complete() noexcept;
  Checked<void> check_pass_down() noexcept;
  Checked<void> check_stacks() noexcept;
  Checked<void> check_channels() noexcept;

  // --- stage 2: against the live page tables
  Checked<void> check_tables() noexcept;
  Checked<void> check_images() noexcept;
  Checked<void> check_image(Range image, u64 entry, bool user) noexcept;
  Checked<void> check_data() noexcept;
  Checked<void> check_smbase() noexcept;
  Checked<void> check_windows() noexcept;

  template <typename T>
  T get(PhysAddr at) noexcept {
    return hal::read_object<T>(memory_, at);
  }
  bool in_mmram(u64 base, u64 bytes) const noexcept { return out_.mmram.contains({base, bytes}); }
  /// Whether the page allocator could give a page of the range out.
  bool touches_free_mmram(Range range) noexcept {
    for (u64 i = 0; i < out_.mmram_count; ++i) {
      auto const d = get<abi::MmramDescriptor>(out_.mmram_descriptors + i * sizeof(abi::MmramDescriptor));
      if ((d.region_state & abi::kMmramAllocated) == 0 && range.overlaps({d.physical_start, d.physical_size})) {
        return true;
      }
    }
    return false;
  }
  /// Whether every page of the range has exactly these rights.
  bool mapped_as(Range range, memory::PageAttr attr) noexcept {
    auto const found = tables_.query_uniform(range);
    return found && *found == attr;
  }
  /// [base, base + pages): nothing when it is empty, unaligned, in page 0, or not below the address limit.
  static Range pages_at(u64 base, u64 pages) noexcept {
    bool const good = base >= kPageSize && base % kPageSize == 0 && base < memory::kAddressLimit && pages != 0 &&
                      pages <= (memory::kAddressLimit - base) >> kPageShift;
    return good ? Range{base, pages << kPageShift} : Range{};
  }

  Mem& memory_;
  memory::PageTables<Mem> tables_;
  Ground ground_;
  std::span<UserImage> images_;
  PhysAddr list_{};
  Handover out_;
  u64 modules_end_ = 0;  ///< modules usually ascend: nothing to compare beyond the highest so far
  bool has_pass_down_ = false;
  bool has_options_ = false;
  bool has_mseg_ = false;
};

/// `stage 1` then `stage 2` of supervisor.md 2.4.
template <hal::PhysMemory Mem>
Checked<Handover> HandoverReader<Mem>::read(PhysAddr list) noexcept {
  list_ = list;
  out_ = {};
  if (ground_.mmram.size == 0) {
    return init_error(InitProblem::MmramUnprotected);
  }
  MM_TRY_ASSIGN(out_.list_bytes, measure());
  MM_TRY(read_mmram());
  if (!in_mmram(raw(list), out_.list_bytes)) {
    return init_error(InitProblem::ListOutsideMmram, raw(list));
  }
  MM_TRY(each([this](Hob const& hob) noexcept { return read_hob(hob); }));
  MM_TRY(check_complete());
  MM_TRY(check_pass_down());
  MM_TRY(check_channels());
  MM_TRY(check_tables());
  MM_TRY(check_images());
  MM_TRY(check_data());
  MM_TRY(check_smbase());
  MM_TRY(check_windows());
  return out_;
}

// --- the list
// ----------------------------------------------------------------------------------------------------------

/// Every page of [from, to) must be one that only ring 0 can reach, before a byte of it is read.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_readable(u64 from, u64 to) noexcept {
  for (u64 page = align_down(from, kPageSize); page < to; page += kPageSize) {
    auto const attr = tables_.query(page);
    if (!attr || attr->user) {
      return init_error(InitProblem::ListPages, page);
    }
  }
  return {};
}

template <hal::PhysMemory Mem>
u64 HandoverReader<Mem>::least_bytes(abi::HobType type) noexcept {
  switch (type) {
    case abi::HobType::Handoff:
      return sizeof(abi::HobHandoff);
    case abi::HobType::MemoryAllocation:
    case abi::HobType::ResourceDescriptor:
      return sizeof(abi::HobResourceDescriptor);
    case abi::HobType::ResourceDescriptor2:
      return sizeof(abi::HobResourceDescriptor) + 8;
    case abi::HobType::GuidExtension:
      return sizeof(abi::HobGuid);
    case abi::HobType::Fv:
      return sizeof(abi::HobFv);
    default:
      return sizeof(abi::HobHeader);
  }
}

/// Length of the list. It ends inside the protected MMRAM and within memory::kHobListLimit; the PHIT's word for it is
/// not taken.
template <hal::PhysMemory Mem>
Checked<u64> HandoverReader<Mem>::measure() noexcept {
  u64 const base = raw(list_);
  if (base % 8 != 0) {
    return init_error(InitProblem::ListAddress, base);
  }
  if (!ground_.mmram.contains({base, sizeof(abi::HobHandoff)})) {
    return init_error(InitProblem::ListOutsideMmram, base);
  }
  u64 const room = ground_.mmram.end() - base;
  u64 const limit = room < memory::kHobListLimit ? room : memory::kHobListLimit;
  for (u64 offset = 0; offset + sizeof(abi::HobHeader) <= limit;) {
    MM_TRY(check_readable(base + offset, base + offset + sizeof(abi::HobHeader)));
    auto const header = get<abi::HobHeader>(list_ + offset);
    auto const type = static_cast<abi::HobType>(header.type);
    if (offset == 0 && type != abi::HobType::Handoff) {
      return init_error(InitProblem::NoHandoff, base);
    }
    if (header.length < least_bytes(type) || header.length % 8 != 0) {
      return init_error(InitProblem::HobLength, base + offset);
    }
    if (header.length > limit - offset) {
      break;
    }
    MM_TRY(check_readable(base + offset, base + offset + header.length));
    offset += header.length;
    if (type == abi::HobType::EndOfHobList) {
      return offset;
    }
  }
  return init_error(InitProblem::HobTruncated, base);
}

/// Calls f(Hob) for each HOB in front of the end marker; measure() has bounded the list.
template <hal::PhysMemory Mem>
template <typename F>
Checked<void> HandoverReader<Mem>::each(F&& f) noexcept {
  for (u64 offset = 0; offset < out_.list_bytes;) {
    PhysAddr const at = list_ + offset;
    auto const header = get<abi::HobHeader>(at);
    Hob hob{at, static_cast<abi::HobType>(header.type), header.length, {}};
    if (hob.type == abi::HobType::GuidExtension || hob.type == abi::HobType::MemoryAllocation) {
      hob.name = get<abi::HobGuid>(at).name;
    }
    MM_TRY(f(hob));
    offset += header.length;
  }
  return {};
}

// --- stage 1
// -----------------------------------------------------------------------------------------------------------

/// The MMRAM regions: ascending, without gap, inside what the chipset protects, and around the supervisor that runs.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_mmram() noexcept {
  MM_TRY(each([this](Hob const& hob) noexcept -> Checked<void> {
    if (!hob.is_guid(guids::gEfiSmmSmramMemoryGuid) && !hob.is_guid(guids::gEfiMmPeiMmramMemoryReserveGuid)) {
      return {};
    }
    if (out_.mmram_count != 0) {
      return init_error(InitProblem::MmramTwice, raw(hob.at));
    }
    u64 const count = hob.payload_bytes() < 8 ? 0 : get<u32>(hob.payload());
    if (count == 0 || count > kMaxRegions || count > (hob.payload_bytes() - 8) / sizeof(abi::MmramDescriptor)) {
      return init_error(InitProblem::MmramCount, raw(hob.at));
    }
    out_.mmram_count = count;
    out_.mmram_descriptors = hob.payload() + 8;
    return {};
  }));
  if (out_.mmram_count == 0) {
    return init_error(InitProblem::MmramMissing);
  }
  for (u64 i = 0; i < out_.mmram_count; ++i) {
    auto const d = get<abi::MmramDescriptor>(out_.mmram_descriptors + i * sizeof(abi::MmramDescriptor));
    if (d.physical_size == 0 || (d.physical_start | d.physical_size) % kPageSize != 0 ||
        d.physical_start >= 1ull << 32 || d.physical_size > (1ull << 32) - d.physical_start) {
      return init_error(InitProblem::MmramRegion, d.physical_start);
    }
    if (i != 0 && d.physical_start != out_.mmram.end()) {
      return init_error(InitProblem::MmramGap, d.physical_start);
    }
    if (!ground_.mmram.contains({d.physical_start, d.physical_size})) {
      return init_error(InitProblem::MmramBeyondProtected, d.physical_start);
    }
    out_.mmram = {i == 0 ? d.physical_start : out_.mmram.base, out_.mmram.size + d.physical_size};
  }
  if (!in_mmram(ground_.code, 1)) {
    return init_error(InitProblem::MmramWithoutSupervisor, ground_.code);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_hob(Hob const& hob) noexcept {
  switch (hob.type) {
    case abi::HobType::MemoryAllocation:
      return read_allocation(hob);
    case abi::HobType::ResourceDescriptor:
    case abi::HobType::ResourceDescriptor2:
      return read_resource(hob);
    case abi::HobType::Fv:
      return read_volume(hob);
    case abi::HobType::GuidExtension:
      return read_guid_hob(hob);
    default:
      return {};
  }
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_guid_hob(Hob const& hob) noexcept {
  if (hob.name == guids::gMmSupervisorPassDownHobGuid) {
    return read_pass_down(hob);
  }
  if (hob.name == guids::gMpInformationHobGuid) {
    return read_processors(hob);
  }
  if (hob.name == guids::gMmCommonRegionHobGuid) {
    if (hob.payload_bytes() < sizeof(abi::MmCommonRegion)) {
      return init_error(InitProblem::HobLength, raw(hob.at));
    }
    auto const region = get<abi::MmCommonRegion>(hob.payload());
    if (region.type != 0) {
      return init_error(InitProblem::BufferType, raw(hob.at));
    }
    return read_channel(abi::Channel::Supervisor, hob.at, region.addr, region.number_of_pages,
                        region.status_region_addr);
  }
  if (hob.name == guids::gMmCommBufferHobGuid) {
    if (hob.payload_bytes() < sizeof(abi::MmCommBuffer)) {
      return init_error(InitProblem::HobLength, raw(hob.at));
    }
    auto const region = get<abi::MmCommBuffer>(hob.payload());
    out_.user_region_offset = raw(hob.payload()) - raw(list_);
    return read_channel(abi::Channel::User, hob.at, region.physical_start, region.number_of_pages, region.status);
  }
  if (hob.name == guids::gMsegSmramGuid) {
    return read_mseg(hob);
  }
  if (hob.name == guids::gMmProtectedRegionHobGuid) {
    return read_protected_region(hob);
  }
  if (hob.name == guids::gMmSupvUnblockRegionHobGuid) {
    return read_unblock(hob);
  }
  return hob.name == abi::kTestOptionsHobGuid ? read_options(hob) : Checked<void>{};
}

/// A module HOB is one by name and length; every other allocation must leave MMRAM alone.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_allocation(Hob const& hob) noexcept {
  bool const module = hob.name == guids::gMmSupervisorHobMemoryAllocModuleGuid;
  if (module && hob.bytes < sizeof(abi::HobMemoryAllocationModule)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  if (module) {
    return read_module(hob.at);
  }
  u64 const base = get<u64>(hob.at + 24);
  u64 const bytes = get<u64>(hob.at + 32);
  auto const range = Range::make(base, bytes);
  if (!range || range->overlaps(ground_.mmram)) {
    return init_error(InitProblem::AllocationInMmram, base);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_module(PhysAddr hob) noexcept {
  auto const module = get<abi::HobMemoryAllocationModule>(hob);
  auto const range = Range::make(module.base, module.length);
  if (!range || module.length == 0) {
    return init_error(InitProblem::ModuleLength, module.base);
  }
  if (!out_.mmram.contains(*range)) {
    return init_error(InitProblem::ModuleOutsideMmram, module.base);
  }
  if ((module.base | module.length) % kPageSize != 0) {
    return init_error(InitProblem::ModuleAlignment, module.base);
  }
  if (!range->contains({module.entry_point, 1})) {
    return init_error(InitProblem::ModuleEntry, module.base);
  }
  bool overlap = out_.core.length != 0 && range->overlaps({out_.core.base, out_.core.length});
  for (u32 i = 0; i < out_.images && range->base < modules_end_; ++i) {
    overlap = overlap || range->overlaps(images_[i].range);
  }
  bool const is_core = module.module_name == guids::gMmSupervisorCoreGuid;
  if (is_core && out_.core.length != 0) {
    return init_error(InitProblem::CoreTwice, module.base);
  }
  if (module.module_name == guids::gMmSupervisorUserGuid) {
    if (out_.user.length != 0) {
      return init_error(InitProblem::UserCoreTwice, module.base);
    }
    out_.user = module;
  }
  if (overlap) {
    return init_error(InitProblem::ModuleOverlap, module.base);
  }
  modules_end_ = range->end() > modules_end_ ? range->end() : modules_end_;
  if (is_core) {
    out_.core = module;
    return range->contains({ground_.code, 1}) ? Checked<void>{} : init_error(InitProblem::CoreIsAnother, module.base);
  }
  if (out_.images == images_.size()) {
    return init_error(InitProblem::ModuleCount, module.base);
  }
  images_[out_.images++] = {*range, raw(hob)};
  return {};
}

/// Resources of one version and kind (memory or I/O) must not overlap; memory bins are not resources.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_resource(Hob const& hob) noexcept {
  constexpr u32 kIo = 2;
  constexpr u32 kIoReserved = 6;
  constexpr u64 kCacheable = 0xF;  // UC WC WT WB
  constexpr u64 kUncachedExported = 0x10;
  auto const is_io = [](u32 type) noexcept { return type == kIo || type == kIoReserved; };
  auto const d = get<abi::HobResourceDescriptor>(hob.at);
  if (d.owner == guids::gEfiMemoryTypeInformationGuid) {
    return {};
  }
  auto const range = Range::make(d.physical_start, d.resource_length);
  if (!range) {
    return init_error(InitProblem::ResourceRange, d.physical_start);
  }
  if (hob.type == abi::HobType::ResourceDescriptor2) {
    u64 const attributes = get<u64>(hob.at + sizeof(abi::HobResourceDescriptor));
    bool const good = is_io(d.resource_type)
                          ? attributes == 0
                          : std::popcount(attributes & kCacheable) == 1 && (attributes & kUncachedExported) == 0;
    if (!good) {
      return init_error(InitProblem::ResourceAttributes, d.physical_start);
    }
  }
  u64 count = 0;
  return each([&](Hob const& other) noexcept -> Checked<void> {
    if (raw(other.at) >= raw(hob.at) || other.type != hob.type) {
      return {};
    }
    auto const o = get<abi::HobResourceDescriptor>(other.at);
    if (o.owner == guids::gEfiMemoryTypeInformationGuid || is_io(o.resource_type) != is_io(d.resource_type)) {
      return {};
    }
    if (++count == kMaxResources) {
      return init_error(InitProblem::ResourceCount, d.physical_start);
    }
    return range->overlaps({o.physical_start, o.resource_length})
               ? init_error(InitProblem::ResourceOverlap, d.physical_start)
               : Checked<void>{};
  });
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_volume(Hob const& hob) noexcept {
  auto const fv = get<abi::HobFv>(hob.at);
  auto const range = Range::make(fv.base, fv.length);
  if (!range || fv.length == 0 || (range->overlaps(ground_.mmram) && !ground_.mmram.contains(*range))) {
    return init_error(InitProblem::VolumeRange, fv.base);
  }
  return each([&](Hob const& other) noexcept -> Checked<void> {
    if (raw(other.at) >= raw(hob.at) || other.type != abi::HobType::Fv) {
      return {};
    }
    auto const o = get<abi::HobFv>(other.at);
    return range->overlaps({o.base, o.length}) ? init_error(InitProblem::VolumeOverlap, fv.base) : Checked<void>{};
  });
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_pass_down(Hob const& hob) noexcept {
  if (has_pass_down_) {
    return init_error(InitProblem::PassDownTwice, raw(hob.at));
  }
  if (hob.payload_bytes() < sizeof(abi::PassDown)) {
    return init_error(InitProblem::PassDownShort, raw(hob.at));
  }
  out_.pass_down = get<abi::PassDown>(hob.payload());
  has_pass_down_ = true;
  if (out_.pass_down.revision != 2) {
    return init_error(InitProblem::PassDownRevision, out_.pass_down.revision);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_processors(Hob const& hob) noexcept {
  if (out_.cpus != 0) {
    return init_error(InitProblem::ProcessorsTwice, raw(hob.at));
  }
  u64 const room = hob.payload_bytes();
  u64 const count =
      room < sizeof(abi::MpInformationHeader) ? 0 : get<abi::MpInformationHeader>(hob.payload()).number_of_processors;
  if (count == 0 || count > platform::kMaxCpus ||
      count > (room - sizeof(abi::MpInformationHeader)) / sizeof(abi::ProcessorInformation)) {
    return init_error(InitProblem::ProcessorCount, count);
  }
  out_.cpus = static_cast<u32>(count);
  PhysAddr const first = hob.payload() + sizeof(abi::MpInformationHeader);
  for (u32 i = 0; i < out_.cpus; ++i) {
    u64 const id = get<abi::ProcessorInformation>(first + i * sizeof(abi::ProcessorInformation)).processor_id;
    bool known = id >= UINT32_MAX;  // all ones: no CPU
    for (u32 other = 0; other < i; ++other) {
      known = known || out_.apic_ids[other] == id;
    }
    if (known) {
      return init_error(InitProblem::ProcessorTwice, id);
    }
    out_.apic_ids[i] = static_cast<u32>(id);
  }
  return {};
}

/// The buffer and its mailbox must be entirely outside MMRAM.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_channel(abi::Channel which, PhysAddr hob, u64 start, u64 pages,
                                                u64 mailbox) noexcept {
  ChannelFacts& channel = out_.channels[static_cast<u64>(which)];
  if (channel.found) {
    return init_error(InitProblem::BufferTwice, raw(hob));
  }
  if (pages == 0 || pages > kMaxCommPages) {
    return init_error(InitProblem::BufferPages, pages);
  }
  Range const buffer = pages_at(start, pages);
  if (buffer.size == 0) {
    return init_error(InitProblem::BufferAddress, start);
  }
  if (buffer.overlaps(ground_.mmram)) {
    return init_error(InitProblem::BufferInMmram, start);
  }
  if (mailbox < kPageSize || mailbox % 8 != 0 || mailbox > memory::kAddressLimit - kPageSize) {
    return init_error(InitProblem::MailboxAddress, mailbox);
  }
  if (ground_.mmram.overlaps({mailbox, sizeof(abi::CommBufferStatus)})) {
    return init_error(InitProblem::MailboxInMmram, mailbox);
  }
  channel = {buffer, mailbox, true};
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_options(Hob const& hob) noexcept {
  if (has_options_ || hob.payload_bytes() != sizeof(abi::TestOptions)) {
    return init_error(InitProblem::TestOptionsLength, raw(hob.at));
  }
  has_options_ = true;
  out_.options = get<abi::TestOptions>(hob.payload());
  return {};
}

/// An IOMMU's registers: the loader has opened them to ring 3, to read.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_protected_region(Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::MmProtectedRegion)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const region = get<abi::MmProtectedRegion>(hob.payload());
  if (region.type != abi::kProtectedIommu) {
    return init_error(InitProblem::ProtectedRegionType, region.type);
  }
  Range const range = pages_at(region.addr, region.number_of_pages);
  if (range.size == 0 || range.overlaps(ground_.mmram)) {
    return init_error(InitProblem::ProtectedRegionRange, region.addr);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_unblock(Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::UnblockMemoryParams)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const params = get<abi::UnblockMemoryParams>(hob.payload());
  if (!request::unblock_range(params, ground_.mmram) || params.descriptor.physical_start < kPageSize) {
    return init_error(InitProblem::UnblockRegion, params.descriptor.physical_start);
  }
  return {};
}

/// MSEG of an STM. One that is malformed counts as none, as in the reference.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::read_mseg(Hob const& hob) noexcept {
  if (has_mseg_) {
    return init_error(InitProblem::MsegTwice, raw(hob.at));
  }
  has_mseg_ = true;
  if (hob.payload_bytes() >= sizeof(abi::MmramDescriptor)) {
    auto const d = get<abi::MmramDescriptor>(hob.payload());
    if ((d.cpu_start | d.physical_size) % kPageSize == 0 && out_.mmram.contains({d.cpu_start, d.physical_size})) {
      out_.mseg = {d.cpu_start, d.physical_size};
    }
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_complete() noexcept {
  if (out_.core.length == 0) {
    return init_error(InitProblem::CoreMissing);
  }
  if (out_.user.length == 0) {
    return init_error(InitProblem::UserCoreMissing);
  }
  if (out_.cpus == 0) {
    return init_error(InitProblem::ProcessorsMissing);
  }
  if (!has_pass_down_) {
    return init_error(InitProblem::PassDownMissing);
  }
  for (auto const& channel : out_.channels) {
    if (!channel.found) {
      return init_error(InitProblem::BufferMissing);
    }
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_pass_down() noexcept {
  abi::PassDown const& p = out_.pass_down;
  if (p.policy == 0 || p.policy_size == 0) {
    return init_error(InitProblem::PolicyMissing, p.policy);
  }
  if (!Range::make(p.policy, p.policy_size)) {
    return init_error(InitProblem::PolicyOverflow, p.policy);
  }
  if (p.policy_size > policy::kMaxBytes) {
    return init_error(InitProblem::PolicyTooLarge, p.policy_size);
  }
  if (!in_mmram(p.policy, p.policy_size)) {
    return init_error(InitProblem::PolicyOutsideMmram, p.policy);
  }
  MM_TRY(check_stacks());
  if (p.smbase % 8 != 0 || !in_mmram(p.smbase, out_.cpus * u64{8})) {
    return init_error(InitProblem::SmbaseArray, p.smbase);
  }
  if (!in_mmram(p.mm_initialized, out_.cpus)) {
    return init_error(InitProblem::InitialisedBytes, p.mm_initialized);
  }
  if (p.mmi_entry_size < kMinEntryBytes || p.mmi_entry_size > kMaxEntryBytes) {
    return init_error(InitProblem::EntrySize, p.mmi_entry_size);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_stacks() noexcept {
  abi::PassDown const& p = out_.pass_down;
  auto const bytes = checked_mul(p.cpl3_per_core_stack_size, out_.cpus);
  if (p.cpl3_stack_base % kPageSize != 0 || p.cpl3_per_core_stack_size % kPageSize != 0 ||
      p.cpl3_per_core_stack_size == 0 || !bytes) {
    return init_error(InitProblem::StackSize, p.cpl3_stack_base);
  }
  Range const stacks{p.cpl3_stack_base, *bytes};
  if (!in_mmram(stacks.base, stacks.size)) {
    return init_error(InitProblem::StackOutsideMmram, stacks.base);
  }
  for (u32 i = 0; i < out_.images; ++i) {
    if (stacks.overlaps(images_[i].range)) {
      return init_error(InitProblem::StackOverlap, images_[i].range.base);
    }
  }
  return {};
}

/// Two mailboxes may share a page; nothing else is shared.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_channels() noexcept {
  std::array<Range, 4> parts;
  for (u64 i = 0; i < 2; ++i) {
    parts[i] = out_.channels[i].buffer;
    parts[2 + i] = {out_.channels[i].mailbox, sizeof(abi::CommBufferStatus)};
  }
  for (u64 i = 0; i < parts.size(); ++i) {
    for (u64 j = 0; j < i; ++j) {
      if (parts[i].overlaps(parts[j])) {
        return init_error(InitProblem::BufferOverlap, parts[i].base);
      }
    }
  }
  return {};
}

// --- stage 2
// -----------------------------------------------------------------------------------------------------------

/// Nothing is writable and executable, nothing outside MMRAM is code, page 0 is absent, no page of MMRAM that is called
/// free is in use, no page is beyond the CPU's addresses, and the tables themselves are read-only supervisor pages of
/// MMRAM.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_tables() noexcept {
  Checked<void> result{};
  auto const note = [&](InitProblem problem, u64 at) noexcept {
    if (result) {
      result = init_error(problem, at);
    }
  };
  tables_.for_each_table([&](PhysAddr table) noexcept {
    auto const attr = tables_.query(raw(table));
    if (!in_mmram(raw(table), kPageSize) || !attr || attr->user || attr->writable) {
      note(InitProblem::TablePages, raw(table));
    }
  });
  MM_TRY(result);
  tables_.for_each_leaf([&](Range leaf, memory::PageAttr attr) noexcept {
    if (leaf.base == 0) {
      note(InitProblem::NullPage, 0);
    }
    if (attr.writable && attr.executable) {
      note(InitProblem::WritableCode, leaf.base);
    }
    if (attr.executable && !out_.mmram.contains(leaf)) {
      note(InitProblem::CodeOutsideMmram, leaf.base);
    }
    if (touches_free_mmram(leaf)) {
      note(InitProblem::FreePages, leaf.base);
    }
    if (leaf.end() > ground_.address_limit) {
      note(InitProblem::AddressBits, leaf.base);
    }
  });
  return result;
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_image(Range image, u64 entry, bool user) noexcept {
  for (u64 page = image.base; page < image.end(); page += kPageSize) {
    auto const attr = tables_.query(page);
    if (!attr || attr->user != user) {
      return init_error(user ? InitProblem::UserPages : InitProblem::SupervisorPages, page);
    }
  }
  auto const at_entry = tables_.query(entry);
  if (!at_entry || !at_entry->executable || at_entry->writable) {
    return init_error(InitProblem::EntryPage, entry);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_images() noexcept {
  MM_TRY(check_image({out_.core.base, out_.core.length}, out_.core.entry_point, false));
  for (u32 i = 0; i < out_.images; ++i) {
    auto const module = get<abi::HobMemoryAllocationModule>(PhysAddr{images_[i].hob});
    MM_TRY(check_image(images_[i].range, module.entry_point, true));
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_data() noexcept {
  abi::PassDown const& p = out_.pass_down;
  u64 const count = out_.cpus;
  for (u64 i = 0; i < count; ++i) {
    // The lowest page of a stack may be missing: then it is a guard.
    u64 const lowest = p.cpl3_stack_base + i * p.cpl3_per_core_stack_size;
    Range const stack{lowest + kPageSize, p.cpl3_per_core_stack_size - kPageSize};
    auto const guard = tables_.query(lowest);
    if (!mapped_as(stack, memory::kUserData) || (guard && !(*guard == memory::kUserData))) {
      return init_error(InitProblem::StackPages, lowest);
    }
  }
  if (touches_free_mmram({p.cpl3_stack_base, p.cpl3_per_core_stack_size * count})) {  // a guard is not mapped
    return init_error(InitProblem::FreePages, p.cpl3_stack_base);
  }
  auto const array = tables_.query_uniform({p.smbase, count * 8});
  auto const bytes = tables_.query_uniform({p.mm_initialized, count});
  if (!array || array->user || !bytes || !(*bytes == memory::kSupervisorData)) {
    return init_error(InitProblem::DataPages, !array || array->user ? p.smbase : p.mm_initialized);
  }
  for (u64 i = 0; i < count; ++i) {
    if (get<u8>(PhysAddr{p.mm_initialized + i}) != 0) {
      return init_error(InitProblem::InitialisedBytes, p.mm_initialized + i);
    }
  }
  if (!mapped_as({p.policy, p.policy_size}, memory::kSupervisorReadOnly)) {
    return init_error(InitProblem::PolicyPages, p.policy);
  }
  return {};
}

/// Each CPU has its own MMI entry code and save state, which only ring 0 can reach.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_smbase() noexcept {
  u64 const entry_bytes = align_up(out_.pass_down.mmi_entry_size, kPageSize);
  auto const entry_of = [&](u64 smbase) noexcept { return Range{smbase + 0x8000, entry_bytes}; };
  auto const state_of = [](u64 smbase) noexcept { return Range{smbase + 0xF000, kPageSize}; };
  for (u32 i = 0; i < out_.cpus; ++i) {
    u64 const smbase = get<u64>(PhysAddr{out_.pass_down.smbase + i * u64{8}});
    bool good = smbase <= UINT32_MAX && smbase % kPageSize == 0 && out_.mmram.contains(entry_of(smbase)) &&
                out_.mmram.contains(state_of(smbase));
    for (u32 n = 0; n < i; ++n) {
      for (Range const other : {entry_of(out_.smbase[n]), state_of(out_.smbase[n])}) {
        good = good && !other.overlaps(entry_of(smbase)) && !other.overlaps(state_of(smbase));
      }
    }
    if (!good) {
      return init_error(InitProblem::Smbase, smbase);
    }
    out_.smbase[i] = smbase;
    if (!mapped_as(entry_of(smbase), memory::kSupervisorCode)) {
      return init_error(InitProblem::EntryPage, entry_of(smbase).base);
    }
    if (!mapped_as(state_of(smbase), memory::kSupervisorData)) {
      return init_error(InitProblem::SaveStatePages, state_of(smbase).base);
    }
  }
  return {};
}

/// What is open outside MMRAM is open in the way that its HOB asks for.
template <hal::PhysMemory Mem>
Checked<void> HandoverReader<Mem>::check_windows() noexcept {
  for (auto const& channel : out_.channels) {
    if (!mapped_as(channel.buffer, memory::kSupervisorData)) {
      return init_error(InitProblem::BufferPagesOpen, channel.buffer.base);
    }
    if (!mapped_as({channel.mailbox, sizeof(abi::CommBufferStatus)}, memory::kSupervisorData)) {
      return init_error(InitProblem::MailboxPagesOpen, channel.mailbox);
    }
  }
  if (out_.mseg.size != 0 && !mapped_as(out_.mseg, memory::kSupervisorReadOnly)) {
    return init_error(InitProblem::MsegPages, out_.mseg.base);
  }
  return each([this](Hob const& hob) noexcept -> Checked<void> {
    if (!hob.is_guid(guids::gMmProtectedRegionHobGuid)) {
      return {};
    }
    auto const region = get<abi::MmProtectedRegion>(hob.payload());
    return mapped_as({region.addr, region.number_of_pages << kPageShift}, memory::kUserReadOnly)
               ? Checked<void>{}
               : init_error(InitProblem::ProtectedRegionPages, region.addr);
  });
}

}  // namespace mm::supervisor
