// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>
#include <iterator>
#include <utility>

#include "core/abi/hob.hpp"
#include "core/abi/platform.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/scenario/driver_set.hpp"
#include "tools/lab/scenario/hobs.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/scenario/toml_devices.hpp"
#include "tools/lab/scenario/toml_shape.hpp"
#include "tools/lab/scenario/toml_steps.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

/// Most copies of one image in a volume.
constexpr u64 kMostCopies = 64;

/// Reads one scenario. Every table is checked for unknown keys before its keys are used.
class Reader : private TomlValues {
 public:
  Reader(fs::path file, fs::path images) : TomlValues(std::move(file)), images_(std::move(images)) {}

  Scenario read(toml::table const& root) {
    auto const schema = number(root, "schema", 0, 1000);
    if (!schema || *schema != 1) {
      fail(root, "schema = 1 is missing: it is the only version this program reads");
    }
    Scenario s;
    s.file = file();
    attempt([&] {
      only(root,
           {"schema", "name", "targets", "qemu_except", "release", "dispatch", "images", "machine", "policy", "hob",
            "device", "step", "expect"},
           "the scenario");
    });
    attempt([&] { read_head(root, s); });
    attempt([&] {
      if (auto const* machine = table(root, "machine")) {
        read_machine(*machine, s);
      }
    });
    finish_machine(s.boot);
    set_boot(s.boot);
    attempt([&] { read_policy(table(root, "policy"), s); });
    each(root, "hob", [&](toml::table const& t) { add_hobs(t, read_hob(*this, t), s); });
    each(root, "device", [&](toml::table const& t) {
      s.devices.push_back(read_device(*this, t, s.devices, s.machines.targets == std::vector<std::string>{"sim"}));
      add_hobs(t, device_hobs(s.devices.back()), s);
    });
    each(root, "images", [&](toml::table const& t) { read_images(t, s.images); });
    each(root, "step", [&](toml::table const& t) { s.steps.push_back(read_step(*this, t)); });
    attempt([&] {
      if (auto const* expect = table(root, "expect")) {
        read_expect(*expect, s.expect);
      }
    });
    if (!problems_.empty()) {
      throw TomlProblem{problems_};
    }
    s.warnings = std::move(warnings_);
    return s;
  }

 private:
  /// Problems of one file that are told; a file of another kind would give thousands.
  static constexpr unsigned kMostProblems = 20;

  /// Reads one part. What is wrong with it does not hide what is wrong with the next.
  template <typename Part>
  void attempt(Part&& part) {
    try {
      part();
    } catch (TomlProblem const& p) {
      if (++problem_count_ <= kMostProblems) {
        problems_ += (problems_.empty() ? "" : "\n") + p.text;
      } else if (problem_count_ == kMostProblems + 1) {
        problems_ += "\n" + file().string() + ": there are more problems";
      }
    }
  }
  /// Reads every table of the array at `key`.
  template <typename Element>
  void each(toml::table const& root, std::string_view key, Element&& element) {
    attempt([&] {
      for (auto const& node : array(root, key)) {
        attempt([&] { element(as_table(node, key)); });
      }
    });
  }

  void read_head(toml::table const& root, Scenario& s) const {
    s.name = line(root, "name").value_or(file().stem().string());
    s.dispatch = flag(root, "dispatch").value_or(true);
    s.release = flag(root, "release").value_or(true);
    for (auto const& t : array(root, "targets")) {
      auto const name = t.value<std::string>();
      if (!name || (*name != "sim" && *name != "qemu")) {
        fail(t, "targets: each is \"sim\" or \"qemu\"");
      }
      s.machines.targets.push_back(*name);
    }
    s.machines.qemu_exceptions = qemu_exceptions(*this, root);
  }

  // --- sections ---------------------------------------------------------------------------------------------------
  void read_machine(toml::table const& t, Scenario& s) const {
    only(t,
         {"cpus", "ram", "tseg", "profile", "save_state", "fault_policy", "seed", "smap", "strict_rsm", "heap_guard",
          "message_guard", "defects"},
         "[machine]");
    s.boot.cpus = static_cast<u32>(number(t, "cpus", 1, platform::kMaxCpus).value_or(1));
    s.boot.ram_bytes = number(t, "ram", 128, 2048).value_or(0) << 20;
    s.boot.tseg_bytes = number(t, "tseg", 4, 64).value_or(0) << 20;
    constexpr std::pair<std::string_view, u32> kPolicies[] = {{"fail-stop", 0}, {"contain", 1}};
    s.boot.fault_policy = choice(t, "fault_policy", kPolicies).value_or(0);
    constexpr std::pair<std::string_view, bool> kProfiles[] = {{"q35-tcg", false}, {"reference", true}};
    s.reference_profile = choice(t, "profile", kProfiles).value_or(false);
    constexpr std::pair<std::string_view, bool> kLayouts[] = {{"amd64", false}, {"intel", true}};
    s.intel_save_state = choice(t, "save_state", kLayouts).value_or(s.reference_profile);
    if (s.intel_save_state && !s.reference_profile) {
      fail(*find(t, "save_state"),
           "save_state = \"intel\" needs profile = \"reference\": QEMU's CPU has the AMD64 layout");
    }
    s.seed = number(t, "seed").value_or(1);
    s.boot.smap = flag(t, "smap").value_or(false) ? 1 : 0;
    s.boot.strict_rsm = flag(t, "strict_rsm").value_or(false) ? 1 : 0;
    if (flag(t, "heap_guard").value_or(false)) {
      append_bytes(s.hobs, heap_guard_hob(flag(t, "message_guard").value_or(true)));
    }
    for (auto const& node : array(t, "defects")) {
      s.defects |= supervisor::bit_of(one_of(node, "defects", kCheckNames));
    }
    if (s.defects != 0 && std::ranges::find(s.machines.targets, "qemu") != s.machines.targets.end()) {
      fail(*find(t, "defects"), "defects: only the simulator can leave out a check, so \"qemu\" is no target");
    }
    if (s.defects != 0) {
      s.machines.targets = {"sim"};
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
      constexpr std::pair<std::string_view, bool> kPresets[] = {{"example", false}, {"none", true}};
      if (choice(*t, "preset", kPresets).value_or(false)) {
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
  void add_hobs(toml::table const& t, Bytes const& hobs, Scenario& s) const {
    append_bytes(s.hobs, hobs);
    if (s.hobs.size() > platform::kExtraHobsLimit) {
      fail(t, fmt::format("the HOBs have more than {} bytes", platform::kExtraHobsLimit));
    }
  }
  void read_images(toml::table const& t, std::vector<ImageSpec>& to) {
    if (auto const volume = text(t, "drivers")) {
      only(t, {"drivers"}, "images");
      return read_drivers(*find(t, "drivers"), path(*volume), to, warnings_);
    }
    ImageSpec const image = read_image(t);
    u64 const copies = number(t, "copies", 1, kMostCopies).value_or(1);
    for (u32 i = 0; i < copies; ++i) {
      to.push_back(image);
      to.back().guid.data1 += i;
    }
  }
  /// The MM drivers of a volume, without its cores. A scenario passes with all of them or not at all: damage that may
  /// hide one is an error, and what is not opened a warning.
  void read_drivers(toml::node const& node, fs::path const& volume, std::vector<ImageSpec>& to,
                    std::vector<std::string>& warnings) const {
    DriverSet set;
    if (auto const added = add_volume_file(set, volume); !added) {
      fail(node, added.error());
    }
    if (!set.losses.damage.empty()) {
      fail(node, fmt::format("{} ({} problem{} in it; `mmsim images` shows all)", set.losses.damage.front(),
                             set.losses.damage.size(), set.losses.damage.size() == 1 ? "" : "s"));
    }
    std::ranges::move(set.losses.not_opened, std::back_inserter(warnings));
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
      return guid(*find(t, "guid"), *name);
    }
    return guid_of_image(image.file, image.name);
  }

  // --- expectations of the run --------------------------------------------------------------------------------------
  void read_expect(toml::table const& t, Expectation& out) const {
    only(t,
         {"events", "no_events", "halted", "reset", "refused_image", "boot_error", "memory_unchanged", "secrets",
          "serial", "audit", "caught"},
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
    out.halted_line = line_of(find(t, out.halted ? "halted" : "reset"));
    out.reset = flag(t, "reset").value_or(false);
    out.refused_image_line = line_of(find(t, "refused_image"));
    out.refused_image = text(t, "refused_image");
    out.boot_error = text(t, "boot_error");
    out.audit = flag(t, "audit").value_or(false);
    for (auto const& node : array(t, "secrets")) {
      out.secrets.push_back(field(as_table(node, "secrets")));
    }
    out.serial = texts(t, "serial");
    out.serial_line = line_of(find(t, "serial"));
    out.caught = texts(t, "caught");
    for (auto const& node : array(t, "memory_unchanged")) {
      auto const& entry = as_table(node, "memory_unchanged");
      only(entry, {"address", "bytes"}, "memory_unchanged");
      if (need(entry, "address", 0xFFFF'FFFF) + need(entry, "bytes", steps::kMaxStepBytes) > u64{1} << 32) {
        fail(entry, "memory_unchanged: the range reaches beyond 4 GiB");
      }
      out.memory_unchanged.push_back(
          {need(entry, "address", 0xFFFF'FFFF), need(entry, "bytes", steps::kMaxStepBytes), line_of(&entry)});
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

  fs::path images_;
  std::vector<std::string> warnings_;
  std::string problems_;  ///< one a line
  unsigned problem_count_ = 0;
};

}  // namespace

std::expected<Scenario, std::string> parse_scenario(std::string_view text, fs::path const& file,
                                                    fs::path const& images) {
  if (auto const shape = toml_shape_problem(text)) {
    return std::unexpected(fmt::format("{}:{}: {}", file.string(), shape->line, shape->text));
  }
  try {
    auto const root = toml::parse(text, file.string());
    return Reader{file, images}.read(root);
  } catch (toml::parse_error const& e) {
    return std::unexpected(fmt::format("{}:{}: {}", file.string(), e.source().begin.line, e.description()));
  } catch (TomlProblem const& p) {
    return std::unexpected(p.text);
  }
}

namespace {

/// What a file is that is no scenario, when its first bytes say so, and who takes it; else null.
char const* other_kind(std::string_view text) {
  if (text.starts_with("MZ") || text.starts_with("VZ")) {
    return "an image, which `mmsim send --image` and `mmsim scan` take";
  }
  if (text.size() >= 44 && text.substr(40, 4) == "_FVH") {
    return "a firmware volume, which `mmsim images` and `mmsim send --fv` take";
  }
  if (text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())).starts_with('<')) {
    return "XML; policies are for `mmsim policy`";
  }
  return text.find('\0') != std::string_view::npos ? "binary data" : nullptr;
}

}  // namespace

std::expected<Scenario, std::string> load_scenario(fs::path const& file, fs::path const& images) {
  auto const bytes = read_file(file);
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  std::string_view const text{reinterpret_cast<char const*>(bytes->data()), bytes->size()};
  if (auto const* const kind = other_kind(text)) {
    return std::unexpected(fmt::format("{}: not a scenario (TOML) but {}", file.string(), kind));
  }
  return parse_scenario(text, file, images);
}

}  // namespace mm::lab
