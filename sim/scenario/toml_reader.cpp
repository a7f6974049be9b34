// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>

#include "core/abi/guids.hpp"
#include "core/abi/hob.hpp"
#include "core/communication/supervisor_client.hpp"
#include "sim/policy/blob.hpp"
#include "sim/policy/xml.hpp"
#include "sim/scenario/driver_set.hpp"
#include "sim/scenario/names.hpp"
#include "sim/scenario/scenario.hpp"

namespace mm::scenario {
namespace {

namespace fs = std::filesystem;

/// Most copies of one image in a volume.
constexpr u64 kMostCopies = 64;

/// Thrown inside this file only; parse_scenario() turns it into its error.
struct Problem {
  std::string text;
};

/// Reads one scenario. Every table is checked for unknown keys before its keys are used.
class Reader {
 public:
  Reader(fs::path file, fs::path images) : file_(std::move(file)), images_(std::move(images)) {}

  Scenario read(toml::table const& root) {
    only(root, {"schema", "name", "targets", "dispatch", "images", "machine", "policy", "hob", "step", "expect"},
         "the scenario");
    auto const schema = number(root, "schema", 0, 1000);
    if (!schema || *schema != 1) {
      fail(root, "schema = 1 is missing: it is the only version this program reads");
    }
    Scenario s;
    s.file = file_;
    s.name = text(root, "name").value_or(file_.stem().string());
    s.dispatch = flag(root, "dispatch").value_or(true);
    for (auto const& t : array(root, "targets")) {
      auto const name = t.value<std::string>();
      if (!name || (*name != "sim" && *name != "qemu")) {
        fail(t, "targets: each is \"sim\" or \"qemu\"");
      }
      s.targets.push_back(*name);
    }
    if (auto const* machine = table(root, "machine")) {
      read_machine(*machine, s);
    }
    finish_machine(s.boot);
    boot_ = s.boot;
    read_policy(table(root, "policy"), s);
    for (auto const& node : array(root, "hob")) {
      append_bytes(s.hobs, read_hob(as_table(node, "hob")));
      if (s.hobs.size() > platform::kExtraHobsLimit) {
        fail(node, fmt::format("the HOBs have more than {} bytes", platform::kExtraHobsLimit));
      }
    }
    for (auto const& node : array(root, "images")) {
      read_images(as_table(node, "images"), s.images);
    }
    for (auto const& node : array(root, "step")) {
      s.steps.push_back(read_step(as_table(node, "step")));
    }
    if (auto const* expect = table(root, "expect")) {
      read_expect(*expect, s.expect);
    }
    return s;
  }

 private:
  // --- access with position -------------------------------------------------------------------------------------
  [[noreturn]] void fail(toml::node const& at, std::string const& what) const {
    throw Problem{fmt::format("{}:{}: {}", file_.string(), at.source().begin.line, what)};
  }
  void only(toml::table const& t, std::vector<std::string_view> const& keys, std::string_view where) const {
    for (auto const& [key, node] : t) {
      std::string_view const name = key.str();
      if (std::find(keys.begin(), keys.end(), name) != keys.end()) {
        continue;
      }
      auto const near = nearest(name, keys);
      fail(node, fmt::format("unknown key '{}' in {}{}", name, where,
                             near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
  }
  static toml::node const* find(toml::table const& t, std::string_view key) { return t.get(key); }
  static int line_of(toml::node const* node) {
    return node == nullptr ? 0 : static_cast<int>(node->source().begin.line);
  }
  std::optional<std::string> text(toml::table const& t, std::string_view key) const {
    auto const* node = find(t, key);
    if (node == nullptr) {
      return std::nullopt;
    }
    if (!node->is_string()) {
      fail(*node, fmt::format("{} must be a string", key));
    }
    return node->value<std::string>();
  }
  std::optional<bool> flag(toml::table const& t, std::string_view key) const {
    auto const* node = find(t, key);
    if (node != nullptr && !node->is_boolean()) {
      fail(*node, fmt::format("{} must be true or false", key));
    }
    return node == nullptr ? std::nullopt : node->value<bool>();
  }
  /// An integer, or a string: a hexadecimal or decimal number of 64 bits, or region+offset.
  std::optional<u64> number(toml::table const& t, std::string_view key, u64 low = 0, u64 high = UINT64_MAX) const {
    auto const* node = find(t, key);
    if (node == nullptr) {
      return std::nullopt;
    }
    u64 const v = number_of(*node, key);
    if (v < low || v > high) {
      fail(*node,
           fmt::format("{} = {} is out of range ({} to {})", key, hex_number(v), hex_number(low), hex_number(high)));
    }
    return v;
  }
  u64 number_of(toml::node const& node, std::string_view key) const {
    if (auto const* i = node.as_integer()) {
      if (i->get() < 0) {
        fail(node, fmt::format("{} must not be negative", key));
      }
      return static_cast<u64>(i->get());
    }
    if (auto const* s = node.as_string()) {
      return address(node, s->get(), key);
    }
    fail(node, fmt::format("{} must be a number", key));
  }
  u64 address(toml::node const& node, std::string const& value, std::string_view key) const {
    auto const plus = value.find('+');
    auto const head = value.substr(0, plus);
    std::pair<std::string_view, u64> const regions[] = {
        {"mmram", boot_.ram_bytes - boot_.tseg_bytes},          {"user-comm", platform::kUserCommBuffer},
        {"supervisor-comm", platform::kSupervisorCommBuffer},   {"user-status", platform::kUserCommStatus},
        {"supervisor-status", platform::kSupervisorCommStatus}, {"scratch", platform::kScratch}};
    u64 base = 0;
    std::string rest = value;
    for (auto const& [name, at] : regions) {
      if (head == name) {
        base = at;
        rest = plus == std::string::npos ? "0" : value.substr(plus + 1);
      }
    }
    std::size_t used = 0;
    u64 v = 0;
    try {
      v = std::stoull(rest, &used, 0);
    } catch (std::exception const&) {
      used = 0;
    }
    if (used == 0 || used != rest.size() || rest.front() == '-') {
      fail(node, fmt::format("{} = \"{}\" is not a number (nor mmram, user-comm, supervisor-comm, user-status, "
                             "supervisor-status or scratch with an optional +offset)",
                             key, value));
    }
    return base + v;
  }
  toml::table const* table(toml::table const& t, std::string_view key) const {
    auto const* node = find(t, key);
    return node == nullptr ? nullptr : &as_table(*node, key);
  }
  toml::table const& as_table(toml::node const& node, std::string_view key) const {
    if (auto const* t = node.as_table()) {
      return *t;
    }
    fail(node, fmt::format("{} must be a table", key));
  }
  toml::array const& array(toml::table const& t, std::string_view key) const {
    static toml::array const empty;
    auto const* node = find(t, key);
    if (node == nullptr) {
      return empty;
    }
    if (auto const* a = node->as_array()) {
      return *a;
    }
    fail(*node, fmt::format("{} must be an array", key));
  }
  template <typename Table>
  auto choice(toml::table const& t, std::string_view key, Table const& names) const
      -> std::optional<std::remove_cvref_t<decltype(names[0].second)>> {
    auto const value = text(t, key);
    if (!value) {
      return std::nullopt;
    }
    return one_of(*find(t, key), key, names);
  }
  /// The value of `names` that the string `node` names.
  template <typename Table>
  auto one_of(toml::node const& node, std::string_view key, Table const& names) const
      -> std::remove_cvref_t<decltype(names[0].second)> {
    auto const value = string(node, key);
    std::vector<std::string_view> known;
    for (auto const& [name, v] : names) {
      if (name == value) {
        return v;
      }
      known.push_back(name);
    }
    auto const near = nearest(value, known);
    fail(node, fmt::format("{} = \"{}\" is not known{}", key, value,
                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }
  std::string string(toml::node const& node, std::string_view key) const {
    if (auto const* s = node.as_string()) {
      return s->get();
    }
    fail(node, fmt::format("{} must be a string", key));
  }
  fs::path path(std::string const& name) const {
    fs::path const p{name};
    return p.is_absolute() ? p : file_.parent_path() / p;
  }

  // --- sections ---------------------------------------------------------------------------------------------------
  void read_machine(toml::table const& t, Scenario& s) const {
    only(t, {"cpus", "ram", "tseg", "profile", "save_state", "fault_policy", "seed", "smap", "strict_rsm", "defects"},
         "[machine]");
    s.boot.cpus = static_cast<u32>(number(t, "cpus", 1, platform::kMaxCpus).value_or(1));
    s.boot.ram_bytes = number(t, "ram", 128, 2048).value_or(0) << 20;
    s.boot.tseg_bytes = number(t, "tseg", 4, 64).value_or(0) << 20;
    constexpr std::pair<std::string_view, u32> policies[] = {{"fail-stop", 0}, {"contain", 1}};
    s.boot.fault_policy = choice(t, "fault_policy", policies).value_or(0);
    constexpr std::pair<std::string_view, bool> profiles[] = {{"q35-tcg", false}, {"reference", true}};
    s.reference_profile = choice(t, "profile", profiles).value_or(false);
    constexpr std::pair<std::string_view, bool> layouts[] = {{"amd64", false}, {"intel", true}};
    s.intel_save_state = choice(t, "save_state", layouts).value_or(s.reference_profile);
    if (s.intel_save_state && !s.reference_profile) {
      fail(*find(t, "save_state"),
           "save_state = \"intel\" needs profile = \"reference\": QEMU's CPU has the AMD64 layout");
    }
    s.seed = number(t, "seed").value_or(1);
    s.boot.smap = flag(t, "smap").value_or(false) ? 1 : 0;
    s.boot.strict_rsm = flag(t, "strict_rsm").value_or(false) ? 1 : 0;
    for (auto const& node : array(t, "defects")) {
      s.defects |= supervisor::bit_of(one_of(node, "defects", kCheckNames));
    }
    if (s.defects != 0 && std::ranges::find(s.targets, "qemu") != s.targets.end()) {
      fail(*find(t, "defects"), "defects: only the simulator can leave out a check, so \"qemu\" is no target");
    }
    if (s.defects != 0) {
      s.targets = {"sim"};
    }
  }
  static void finish_machine(abi::BootConfig& boot) {
    boot.ram_bytes = boot.ram_bytes == 0 ? platform::kDefaultRamBytes : boot.ram_bytes;
    boot.tseg_bytes = boot.tseg_bytes == 0 ? platform::kDefaultTsegBytes : boot.tseg_bytes;
  }

  void read_policy(toml::table const* t, Scenario& s) const {
    std::string xml{policy_tools::default_policy_xml()};
    std::string source = "policy";
    if (t != nullptr) {
      only(*t, {"preset", "xml", "blob", "hex", "fields", "pad"}, "[policy]");
      bool const by_hand = t->contains("hex") || t->contains("fields") || t->contains("pad");
      if ((t->contains("preset") ? 1 : 0) + (t->contains("xml") ? 1 : 0) + (t->contains("blob") ? 1 : 0) +
              (by_hand ? 1 : 0) >
          1) {
        fail(*t, "[policy] takes one of preset, xml, blob, and hex, fields and pad");
      }
      constexpr std::pair<std::string_view, bool> presets[] = {{"example", false}, {"none", true}};
      if (choice(*t, "preset", presets).value_or(false)) {
        return;
      }
      if (by_hand) {
        s.policy = data(*t);
        return;
      }
      if (auto const blob = text(*t, "blob")) {
        s.policy = contents(*find(*t, "blob"), *blob);
        return;
      }
      if (auto const name = text(*t, "xml")) {
        auto const bytes = contents(*find(*t, "xml"), *name);
        xml.assign(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        source = *name;
      }
    }
    auto const read = policy_tools::read_xml(xml);
    if (!read) {
      fail(*t, "policy: " + policy_tools::located(source, read.error()));
    }
    s.policy = policy_tools::encode(read->policy);
  }
  Bytes contents(toml::node const& at, std::string const& name) const {
    auto bytes = read_file(path(name));
    if (!bytes) {
      fail(at, bytes.error());
    }
    return std::move(*bytes);
  }

  /// A GUID HOB with `guid`, or one of `type`; the data follow its header, padded to 8 bytes.
  Bytes read_hob(toml::table const& t) const {
    only(t, {"guid", "type", "length", "text", "hex", "file", "fields", "pad"}, "a hob");
    auto const name = text(t, "guid");
    auto const type = number(t, "type", 0, 0xFFFE);
    if (name.has_value() == type.has_value()) {
      fail(t, "a hob has either guid or type");
    }
    Bytes body;
    if (name) {
      append_object(body, guid(*find(t, "guid"), *name));
    }
    append_bytes(body, data(t));
    pad_to(body, 8);
    if (body.size() > 0xFFF0) {
      fail(t, "a hob has at most 65520 bytes");
    }
    u16 const kind = static_cast<u16>(type.value_or(static_cast<u64>(abi::HobType::GuidExtension)));
    Bytes out;
    u64 const length = number(t, "length", 0, 0xFFFF).value_or(sizeof(abi::HobHeader) + body.size());
    append_object(out, abi::HobHeader{kind, static_cast<u16>(length), 0});
    append_bytes(out, body);
    return out;
  }

  void read_images(toml::table const& t, std::vector<ImageSpec>& to) const {
    if (auto const volume = text(t, "drivers")) {
      only(t, {"drivers"}, "images");
      return read_drivers(*find(t, "drivers"), path(*volume), to);
    }
    ImageSpec const image = read_image(t);
    u64 const copies = number(t, "copies", 1, kMostCopies).value_or(1);
    for (u32 i = 0; i < copies; ++i) {
      to.push_back(image);
      to.back().guid.data1 += i;
    }
  }
  /// The MM drivers of a volume, without its cores.
  void read_drivers(toml::node const& node, fs::path const& volume, std::vector<ImageSpec>& to) const {
    DriverSet set;
    if (auto const added = add_volume_file(set, volume); !added) {
      fail(node, added.error());
    }
    for (auto const& report : set.not_run) {
      if (report.state == "refused") {
        fail(node, fmt::format("{}: {}: refused: {}", volume.string(), report.name, report.detail));
      }
    }
    if (set.images.empty()) {
      fail(node, fmt::format("{}: no MM_STANDALONE driver in it", volume.string()));
    }
    std::ranges::move(set.images, std::back_inserter(to));
  }
  ImageSpec read_image(toml::table const& t) const {
    only(t, {"driver", "path", "depex", "guid", "fv", "copies", "drivers"}, "images");
    ImageSpec image;
    auto const driver = text(t, "driver");
    auto const file = text(t, "path");
    auto const fv = text(t, "fv");
    if ((driver ? 1 : 0) + (file ? 1 : 0) + (fv ? 1 : 0) != 1) {
      fail(t, "an image has exactly one of driver, path, drivers and fv");
    }
    if (fv) {
      image.fv = path(*fv);
      image.name = image.fv->filename().string();
      return image;
    }
    image.file = driver ? images_ / (*driver + ".efi") : path(*file);
    image.name = image.file.stem().string();
    if (!fs::is_regular_file(image.file)) {
      fail(t, fmt::format("image '{}': no such file {}", image.name, image.file.string()));
    }
    if (auto const depex = text(t, "depex")) {
      image.depex = path(*depex);
    } else if (fs::path const beside = fs::path{image.file}.replace_extension(".depex"); fs::is_regular_file(beside)) {
      image.depex = beside;
    }
    image.guid = image_guid(t, image);
    return image;
  }
  /// `guid`, else the .guid file beside the image, else one made from the name.
  Guid image_guid(toml::table const& t, ImageSpec const& image) const {
    if (auto const name = text(t, "guid")) {
      auto const guid = find_guid(*name);
      if (!guid) {
        fail(*find(t, "guid"), guid.error());
      }
      return *guid;
    }
    return guid_of_image(image.file, image.name);
  }

  // --- data -------------------------------------------------------------------------------------------------------
  /// text, hex, file or fields of `t`, and `pad`.
  Bytes data(toml::table const& t) const {
    Bytes out;
    if (auto const v = text(t, "text")) {
      append_text(out, *v);
    }
    if (auto const v = text(t, "hex")) {
      append_bytes(out, hex(*find(t, "hex"), *v));
    }
    if (auto const v = text(t, "file")) {
      append_bytes(out, contents(*find(t, "file"), *v));
    }
    for (auto const& node : array(t, "fields")) {
      append_bytes(out, field(as_table(node, "fields")));
    }
    if (auto const n = number(t, "pad", 0, 1 << 20)) {
      out.resize(static_cast<std::size_t>(*n));
    }
    return out;
  }
  Bytes hex(toml::node const& at, std::string const& value) const {
    auto bytes = parse_hex(value);
    if (!bytes) {
      fail(at, bytes.error());
    }
    return std::move(*bytes);
  }
  Bytes field(toml::table const& t) const {
    only(t, {"u8", "u16", "u32", "u64", "guid", "text", "hex", "at"}, "a field");
    Bytes out;
    for (auto const& [key, width] : {std::pair{"u8", 1u}, {"u16", 2u}, {"u32", 4u}, {"u64", 8u}}) {
      u64 const high = width == 8 ? UINT64_MAX : (u64{1} << (8 * width)) - 1;
      if (auto const v = number(t, key, 0, high)) {
        append_int(out, *v, width);
      }
    }
    if (auto const name = text(t, "guid")) {
      append_object(out, guid(*find(t, "guid"), *name));
    }
    if (auto const v = text(t, "text")) {
      append_text(out, *v);
    }
    if (auto const v = text(t, "hex")) {
      append_bytes(out, hex(*find(t, "hex"), *v));
    }
    if (out.empty()) {
      fail(t, "a field has one of u8, u16, u32, u64, guid, text and hex");
    }
    return out;
  }
  Guid guid(toml::node const& at, std::string const& name) const {
    auto const found = find_guid(name);
    if (!found) {
      fail(at, found.error());
    }
    return *found;
  }

  // --- steps ------------------------------------------------------------------------------------------------------
  ScenarioStep read_step(toml::table const& t) const {
    using Build = void (Reader::*)(toml::table const&, ScenarioStep&) const;
    static constexpr std::pair<std::string_view, Build> kinds[] = {{"communicate", &Reader::communicate},
                                                                   {"dispatch", &Reader::event},
                                                                   {"ready-to-lock", &Reader::event},
                                                                   {"exit-boot-services", &Reader::event},
                                                                   {"end-of-dxe", &Reader::event},
                                                                   {"ready-to-boot", &Reader::event},
                                                                   {"mmi", &Reader::mmi},
                                                                   {"ipi", &Reader::ipi},
                                                                   {"mailbox", &Reader::mailbox},
                                                                   {"unblock", &Reader::unblock},
                                                                   {"comm-buffers", &Reader::comm_buffers},
                                                                   {"read", &Reader::memory},
                                                                   {"write", &Reader::memory},
                                                                   {"fill", &Reader::memory},
                                                                   {"io", &Reader::io},
                                                                   {"msr", &Reader::msr},
                                                                   {"registers", &Reader::registers},
                                                                   {"park", &Reader::park}};
    ScenarioStep step;
    step.line = static_cast<int>(t.source().begin.line);
    auto const build = choice(t, "kind", kinds);
    if (!build) {
      fail(t, "a step needs a kind");
    }
    step.kind = *text(t, "kind");
    step.title = text(t, "title").value_or(step.kind);
    (this->**build)(t, step);
    repeat(t, step);
    if (auto const* expect = table(t, "expect")) {
      step.expect.line = line_of(expect);
      read_step_expect(*expect, step);
    }
    return step;
  }
  /// Keys of a step: those that every kind has, and `keys`.
  void only_step(toml::table const& t, std::vector<std::string_view> keys, std::string_view where) const {
    keys.insert(keys.end(), {"kind", "title", "expect", "repeat"});
    only(t, keys, where);
  }
  /// Appends the step's program again and again, the addresses of memory steps and of unblock moved by `stride`.
  void repeat(toml::table const& t, ScenarioStep& step) const {
    constexpr u64 kMost = 4096;
    u64 const count = number(t, "repeat", 1, kMost).value_or(1);
    u64 const stride = number(t, "stride").value_or(0);
    auto const once = step.program;
    for (u64 i = 1; i < count; ++i) {
      for (ProgramStep next : once) {
        if (step.kind == "unblock") {
          // The parameters end the message; PhysicalStart is at byte 8 of them.
          std::size_t const start = next.data.size() - sizeof(abi::UnblockMemoryParams) + 8;
          Bytes moved;
          append_int(moved, load_int(next.data, start, 8) + i * stride, 8);
          std::ranges::copy(moved, next.data.begin() + static_cast<std::ptrdiff_t>(start));
        } else {
          next.head.a += stride * i;
        }
        step.program.push_back(std::move(next));
      }
    }
  }
  static void add(ScenarioStep& step, communication::StepOp op, u64 a = 0, u64 b = 0, u64 c = 0, Bytes bytes = {}) {
    step.program.push_back({{static_cast<u16>(op), 0, static_cast<u32>(bytes.size()), a, b, c}, std::move(bytes)});
  }
  abi::Channel channel(toml::table const& t, abi::Channel otherwise) const {
    constexpr std::pair<std::string_view, abi::Channel> names[] = {{"user", abi::Channel::User},
                                                                   {"supervisor", abi::Channel::Supervisor}};
    return choice(t, "channel", names).value_or(otherwise);
  }

  void communicate(toml::table const& t, ScenarioStep& step) const {
    only_step(
        t, {"channel", "to", "text", "hex", "file", "fields", "pad", "v3", "length", "raw", "valid", "reply_capacity"},
        "a communicate step");
    auto const name = text(t, "to");
    bool const is_raw = flag(t, "raw").value_or(false);
    if (!name && !is_raw) {
      fail(t, "communicate needs to = a GUID or a known name (or raw = true)");
    }
    bool const v3 = flag(t, "v3").value_or(false);
    Bytes message = data(t);
    auto const to = channel(t, name && *name == "SupervisorRequest" ? abi::Channel::Supervisor : abi::Channel::User);
    Guid const recipient = is_raw ? Guid{} : guid(*find(t, "to"), *name);
    step.header_bytes = v3 ? sizeof(abi::CommunicateHeaderV3) : sizeof(abi::CommunicateHeader);
    bool const crafted = is_raw || find(t, "length") != nullptr || find(t, "valid") != nullptr;
    ProgramStep out = crafted ? communicate_step(to, recipient, message, v3) : call_step(to, recipient, message, v3);
    if (is_raw) {
      out.data = message;
    } else if (auto const length = number(t, "length")) {
      Bytes bytes;
      append_int(bytes, *length, 8);
      std::copy(bytes.begin(), bytes.end(), out.data.begin() + (v3 ? 48 : 16));
    }
    if (out.data.size() > communication::kMaxStepBytes) {
      fail(t, fmt::format("the message and its header have {} bytes, the buffer {}", out.data.size(),
                          communication::kMaxStepBytes));
    }
    out.head.data_bytes = static_cast<u32>(out.data.size());
    if (crafted) {
      out.head.b = number(t, "valid", 0, 255).value_or(1);
    }
    out.head.c = number(t, "reply_capacity", 0, communication::kMaxStepBytes).value_or(communication::kMaxStepBytes);
    step.program.push_back(std::move(out));
  }
  void event(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"channel"}, "an event step");
    std::pair<std::string_view, Guid> const events[] = {{"dispatch", guids::gEventMmDispatchGuid},
                                                        {"ready-to-lock", guids::gEfiDxeMmReadyToLockProtocolGuid},
                                                        {"exit-boot-services", guids::gEfiEventExitBootServicesGuid},
                                                        {"end-of-dxe", guids::gEfiEndOfDxeEventGroupGuid},
                                                        {"ready-to-boot", guids::gEfiEventReadyToBootGuid}};
    Guid to;
    for (auto const& [name, event_guid] : events) {
      to = name == step.kind ? event_guid : to;
    }
    step.header_bytes = sizeof(abi::CommunicateHeader);
    Bytes const message(1);
    bool const both = step.kind == "ready-to-lock" || step.kind == "exit-boot-services";
    bool const one = find(t, "channel") != nullptr;
    auto const first = channel(t, abi::Channel::User);
    step.program.push_back(call_step(first, to, message));
    if (both && !one) {
      step.program.push_back(call_step(abi::Channel::Supervisor, to, message));
    }
  }
  void mmi(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"cpu", "command", "data", "nmi"}, "an mmi step");
    if (auto const cpu = number(t, "cpu", 0, boot_.cpus - 1)) {
      return add(step, communication::StepOp::SmiTo, *cpu);
    }
    u64 const command = number(t, "command", 0, 255).value_or(0);
    u64 const nmi = flag(t, "nmi").value_or(false) ? 1 : 0;
    add(step, communication::StepOp::RawMmi, command, number(t, "data", 0, 255).value_or(0), nmi);
  }
  void ipi(toml::table const& t, ScenarioStep& step) const {
    using communication::DeliveryMode;
    using communication::Shorthand;
    only_step(t, {"mode", "to", "cpu", "vector"}, "an ipi step");
    constexpr std::pair<std::string_view, DeliveryMode> modes[] = {{"smi", DeliveryMode::Smi},
                                                                   {"init", DeliveryMode::Init},
                                                                   {"startup", DeliveryMode::Startup},
                                                                   {"fixed", DeliveryMode::Fixed}};
    constexpr std::pair<std::string_view, Shorthand> groups[] = {
        {"self", Shorthand::Self}, {"all", Shorthand::All}, {"others", Shorthand::Others}};
    auto const mode = choice(t, "mode", modes);
    auto const group = choice(t, "to", groups);
    auto const cpu = number(t, "cpu", 0, boot_.cpus - 1);
    if (!mode || group.has_value() == cpu.has_value()) {
      fail(t, "an ipi step has a mode, and either to or cpu");
    }
    u64 const otherwise = *mode == DeliveryMode::Startup ? communication::kStartVector : 0;
    u32 const vector = static_cast<u32>(number(t, "vector", 0, 255).value_or(otherwise));
    u32 const command = communication::ipi_command(*mode, group.value_or(Shorthand::None), vector);
    u32 const destination = static_cast<u32>(cpu.value_or(0));
    if (!communication::is_sendable(command, destination)) {
      fail(t,
           "this ipi cannot be sent: CPU 0 runs the steps, a CPU starts at vector 0xFF, fixed vectors are 16 to 255");
    }
    add(step, communication::StepOp::Ipi, command, destination);
  }
  void mailbox(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"channel", "hex", "fields", "text", "file", "pad"}, "a mailbox step");
    add(step, communication::StepOp::Mailbox, static_cast<u64>(channel(t, abi::Channel::User)), 0, 0, data(t));
  }
  void comm_buffers(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"channel", "buffer", "mailbox"}, "a comm-buffers step");
    add(step, communication::StepOp::UseBuffers, static_cast<u64>(channel(t, abi::Channel::User)),
        need(t, "buffer", 0xFFFF'FFFF), need(t, "mailbox", 0xFFFF'FFFF));
  }
  void unblock(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"address", "pages", "attributes", "identifier", "stride"}, "an unblock step");
    abi::UnblockMemoryParams params;
    params.descriptor.type = 4;
    params.descriptor.physical_start = need(t, "address");
    params.descriptor.number_of_pages = number(t, "pages").value_or(1);
    params.descriptor.attribute = number(t, "attributes").value_or(0x4000);
    params.identifier = guid(t, text(t, "identifier").value_or("Hello"));
    Bytes message;
    append_object(message, communication::unblock_message(params));
    step.header_bytes = sizeof(abi::CommunicateHeader);
    step.program.push_back(call_step(abi::Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message));
  }
  u64 need(toml::table const& t, std::string_view key, u64 high = UINT64_MAX) const {
    auto const v = number(t, key, 0, high);
    if (!v) {
      fail(t, fmt::format("{} is missing", key));
    }
    return *v;
  }
  void memory(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"address", "bytes", "value", "text", "hex", "file", "fields", "pad", "stride"}, "a memory step");
    u64 const at = need(t, "address", 0xFFFF'FFFF);
    if (step.kind == "write") {
      return add(step, communication::StepOp::Write, at, 0, 0, data(t));
    }
    u64 const bytes = need(t, "bytes", communication::kMaxStepBytes);
    bool const is_read = step.kind == "read";
    add(step, is_read ? communication::StepOp::Read : communication::StepOp::Fill, at, bytes,
        number(t, "value", 0, 255).value_or(0));
  }
  void io(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"port", "width", "write", "trap", "immediate"}, "an io step");
    u64 const width = number(t, "width", 1, 4).value_or(1);
    if (width == 3) {
      fail(t, "width is 1, 2 or 4 bytes");
    }
    auto const out = number(t, "write", 0, 0xFFFF'FFFF);
    u64 const port = need(t, "port", 0xFFFF);
    if (flag(t, "trap").value_or(false)) {
      return trapped_io(t, step, port, width, out);
    }
    add(step, out ? communication::StepOp::PortOut : communication::StepOp::PortIn, port, width / 2, out.value_or(0));
  }
  void trapped_io(toml::table const& t, ScenarioStep& step, u64 port, u64 width, std::optional<u64> out) const {
    using Form = communication::TrappedForm;
    bool const immediate = flag(t, "immediate").value_or(false);
    if (immediate && port > 0xFF) {
      fail(*find(t, "port"), "port: an immediate port is at most 0xFF");
    }
    add(step, communication::StepOp::TrappedIo, port, width / 2, out.value_or(0));
    step.program.back().head.form = static_cast<u16>((out ? 0 : Form::kIn) | (immediate ? Form::kImmediate : 0));
  }
  void msr(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"msr", "write"}, "an msr step");
    auto const out = number(t, "write");
    add(step, out ? communication::StepOp::WriteMsr : communication::StepOp::ReadMsr, need(t, "msr", 0xFFFF'FFFF),
        out.value_or(0));
  }

  static std::vector<std::string_view> register_names(std::initializer_list<std::string_view> more) {
    std::vector<std::string_view> names{more};
    for (auto const& [name, r] : kRegisterNames) {
      names.push_back(name);
    }
    return names;
  }
  void registers(toml::table const& t, ScenarioStep& step) const {
    only(t, register_names({"kind", "title", "out", "behind", "expect", "repeat"}), "a registers step");
    communication::CpuState state;
    u64 mask = 0;
    auto const set = [&](communication::CpuRegister r, std::optional<u64> value) {
      if (value) {
        state[r] = *value;
        mask |= u64{1} << static_cast<u32>(r);
      }
    };
    for (auto const& [name, r] : kRegisterNames) {
      set(r, number(t, name));
    }
    constexpr std::pair<std::string_view, u64> forms[] = {{"immediate", 0}, {"dx", 1}};
    set(communication::CpuRegister::Form, choice(t, "out", forms));
    Bytes bytes;
    if (mask != 0) {
      append_object(bytes, state);
    }
    if (auto const* loads = table(t, "behind")) {
      behind(*loads, step);
    }
    add(step, communication::StepOp::Cpu, mask, 0, 0, std::move(bytes));
  }
  void behind(toml::table const& t, ScenarioStep& step) const {
    only(t, register_names({}), "behind");
    communication::CpuState state;
    communication::LaterLoads loads;
    for (auto const& [name, r] : kRegisterNames) {
      if (auto const value = number(t, name)) {
        state[r] = *value;
        loads.mask |= 1u << static_cast<u32>(r);
      }
    }
    if (!loads.is_loadable()) {
      fail(t, fmt::format("behind takes at most {} general registers, and not rsp", communication::LaterLoads::kMost));
    }
    Bytes bytes;
    append_object(bytes, state);
    add(step, communication::StepOp::Later, loads.mask, 0, 0, std::move(bytes));
  }
  void park(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"cpu", "port", "width", "string", "rsi"}, "a park step");
    if (boot_.cpus == 1) {
      fail(t, "a park step needs a second CPU");
    }
    auto const cpu = number(t, "cpu", 1, boot_.cpus - 1);
    u64 const width = number(t, "width", 1, 4).value_or(1);
    if (!cpu || width == 3) {
      fail(t, !cpu ? "cpu is missing" : "width is 1, 2 or 4 bytes");
    }
    u64 const port = need(t, "port", 0xFFFF) | width / 2 << 16;
    add(step, communication::StepOp::Park, *cpu, port, number(t, "rsi").value_or(0));
    step.program.back().head.form = flag(t, "string").value_or(false) ? communication::TrappedForm::kString : u16{0};
  }
  void expected_registers(toml::table const& t, ScenarioStep& step) const {
    if (step.kind != "registers") {
      fail(t, "only a registers step has registers to expect");
    }
    only(t, register_names({}), "registers");
    for (auto const& [name, r] : kRegisterNames) {
      if (auto const value = number(t, name)) {
        Bytes bytes;
        append_int(bytes, *value, 8);
        step.expect.bytes.push_back({8 * static_cast<std::size_t>(r), std::move(bytes)});
      }
    }
  }

  void read_step_expect(toml::table const& t, ScenarioStep& step) const {
    only(t, {"status", "size", "message_size", "value", "valid", "text", "hex", "fields", "registers", "halts"},
         "[step.expect]");
    if (auto const* wanted = table(t, "registers")) {
      expected_registers(*wanted, step);
    }
    if (auto const* node = find(t, "status");
        node != nullptr && node->is_string() && !node->value<std::string>()->starts_with("0x")) {
      step.expect.status = static_cast<u64>(*choice(t, "status", kStatusNames));
    } else {
      step.expect.status = number(t, "status");
    }
    step.expect.size = number(t, "size");
    step.expect.message_size = number(t, "message_size");
    step.expect.value = number(t, "value");
    step.expect.valid = number(t, "valid");
    step.expect.halts = flag(t, "halts").value_or(false);
    if (auto const v = text(t, "text")) {
      Bytes bytes;
      append_text(bytes, *v);
      step.expect.bytes.push_back({0, std::move(bytes)});
    }
    if (auto const v = text(t, "hex")) {
      step.expect.bytes.push_back({0, hex(*find(t, "hex"), *v)});
    }
    std::size_t next = 0;
    for (auto const& node : array(t, "fields")) {
      auto const& entry = as_table(node, "fields");
      auto const at = static_cast<std::size_t>(number(entry, "at", 0, 1 << 20).value_or(next));
      Bytes bytes = field(entry);
      next = at + bytes.size();
      step.expect.bytes.push_back({at, std::move(bytes)});
    }
  }

  // --- expectations of the run --------------------------------------------------------------------------------------
  void read_expect(toml::table const& t, Expectation& out) const {
    only(t,
         {"events", "no_events", "halted", "refused_image", "boot_error", "memory_unchanged", "secrets", "audit",
          "caught"},
         "[expect]");
    for (auto const& node : array(t, "events")) {
      out.events.push_back(read_event(as_table(node, "events")));
    }
    for (auto const& node : array(t, "no_events")) {
      auto const name = node.value<std::string>().value_or("");
      auto const known = std::ranges::find(kEventNames, name, [](auto const& entry) { return entry.first; });
      if (known == kEventNames.end()) {
        fail(node, fmt::format("no_events: \"{}\" is no kind of event", name));
      }
      out.no_events.push_back(known->second);
    }
    out.no_events_line = line_of(find(t, "no_events"));
    out.halted = choice(t, "halted", kHaltNames);
    out.halted_line = line_of(find(t, "halted"));
    out.refused_image_line = line_of(find(t, "refused_image"));
    out.refused_image = text(t, "refused_image");
    out.boot_error = text(t, "boot_error");
    out.audit = flag(t, "audit").value_or(false);
    for (auto const& node : array(t, "secrets")) {
      out.secrets.push_back(field(as_table(node, "secrets")));
    }
    for (auto const& node : array(t, "caught")) {
      out.caught.push_back(string(node, "caught"));
      if (out.caught.back().empty()) {
        fail(node, "caught: an empty text is part of everything");
      }
    }
    for (auto const& node : array(t, "memory_unchanged")) {
      auto const& entry = as_table(node, "memory_unchanged");
      only(entry, {"address", "bytes"}, "memory_unchanged");
      out.memory_unchanged.push_back(
          {need(entry, "address", 0xFFFF'FFFF), need(entry, "bytes", communication::kMaxStepBytes), line_of(&entry)});
    }
  }
  ExpectedEvent read_event(toml::table const& t) const {
    only(t, {"kind", "cpu", "a", "b", "c", "d", "e", "f"}, "an event");
    auto const kind = choice(t, "kind", kEventNames);
    if (!kind) {
      fail(t, "an event needs a kind");
    }
    return {*kind,          number(t, "cpu"), number(t, "a"), number(t, "b"), number(t, "c"),
            number(t, "d"), number(t, "e"),   number(t, "f"), line_of(&t)};
  }

  fs::path file_;
  fs::path images_;
  abi::BootConfig boot_;
};

}  // namespace

std::expected<Scenario, std::string> parse_scenario(std::string_view text, fs::path const& file,
                                                    fs::path const& images) {
  try {
    auto const root = toml::parse(text, file.string());
    return Reader{file, images}.read(root);
  } catch (toml::parse_error const& e) {
    return std::unexpected(fmt::format("{}:{}: {}", file.string(), e.source().begin.line, e.description()));
  } catch (Problem const& p) {
    return std::unexpected(p.text);
  }
}

std::expected<Scenario, std::string> load_scenario(fs::path const& file, fs::path const& images) {
  auto const bytes = read_file(file);
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  return parse_scenario({reinterpret_cast<char const*>(bytes->data()), bytes->size()}, file, images);
}

}  // namespace mm::scenario
