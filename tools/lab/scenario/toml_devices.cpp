// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/toml_devices.hpp"

#include <bit>

#include "core/abi/hob.hpp"

namespace mm::lab {
namespace {

constexpr std::size_t kMostRegisters = 4096;
constexpr std::size_t kMostReads = 1u << 16;

/// 1, 2, 4 or 8; 4 without the key.
u32 width(TomlValues const& values, toml::table const& t) {
  u64 const bytes = values.number(t, "width", 1, 8).value_or(4);
  if (!std::has_single_bit(bytes)) {
    values.fail(*values.find(t, "width"), "width is 1, 2, 4 or 8 bytes");
  }
  return static_cast<u32>(bytes);
}

u64 most(u32 width) { return width == 8 ? UINT64_MAX : (u64{1} << (8 * width)) - 1; }

/// The numbers of the array at `key`, or the one number there.
std::vector<u64> numbers(TomlValues const& values, toml::table const& t, std::string_view key, u64 high) {
  auto const* const node = values.find(t, key);
  if (node == nullptr || !node->is_array()) {
    auto const one = values.number(t, key, 0, high);
    return one ? std::vector<u64>{*one} : std::vector<u64>{};
  }
  std::vector<u64> out;
  for (auto const& element : values.array(t, key)) {
    toml::table one;
    one.insert(key, element);
    out.push_back(*values.number(one, key, 0, high));
    if (out.size() > kMostReads) {
      values.fail(element, fmt::format("{}: at most {} values", key, kMostReads));
    }
  }
  if (out.empty()) {
    values.fail(*node, fmt::format("{}: an empty list gives nothing to read", key));
  }
  return out;
}

DeviceRegister read_register(TomlValues const& values, toml::table const& t) {
  values.only(t, {"at", "width", "value", "reads", "clears"}, "a register");
  DeviceRegister r;
  r.at = values.need(t, "at");
  r.width = width(values, t);
  r.reads = numbers(values, t, "reads", most(r.width));
  r.value = values.number(t, "value", 0, most(r.width)).value_or(0);
  r.clears = values.number(t, "clears", 0, most(r.width)).value_or(0);
  if (!r.reads.empty() && (t.contains("value") || t.contains("clears"))) {
    values.fail(t, "a register has either reads, or value and clears");
  }
  return r;
}

DeviceWrite read_write(TomlValues const& values, toml::table const& t) {
  values.only(t, {"at", "width", "value"}, "a write");
  DeviceWrite w;
  w.at = values.need(t, "at");
  w.width = width(values, t);
  if (w.width == 8) {
    values.fail(t, "a write of 8 bytes comes as two of 4");
  }
  w.value = values.need(t, "value", most(w.width));
  w.line = TomlValues::line_of(&t);
  return w;
}

void read_place(TomlValues const& values, toml::table const& t, DeviceSpec& d) {
  if (t.contains("at") == t.contains("port")) {
    values.fail(t, "a device has either at, an address, or port");
  }
  d.ports = t.contains("port");
  d.base = d.ports ? values.need(t, "port", 0xFFFF) : values.need(t, "at", 0xFFFF'FFFF);
  d.bytes = values.need(t, "bytes", u64{1} << 32);
  d.open = values.flag(t, "open").value_or(!d.ports);
}

void read_registers(TomlValues const& values, toml::table const& t, DeviceSpec& d) {
  d.fill = static_cast<u8>(values.number(t, "fill", 0, 0xFF).value_or(d.ports ? 0xFF : 0));
  for (auto const& node : values.array(t, "registers")) {
    d.registers.push_back(read_register(values, values.as_table(node, "registers")));
    if (d.registers.size() > kMostRegisters) {
      values.fail(node, fmt::format("a device has at most {} registers", kMostRegisters));
    }
  }
  for (auto const& node : values.array(t, "writes")) {
    d.writes.push_back(read_write(values, values.as_table(node, "writes")));
  }
}

}  // namespace

DeviceSpec read_device(TomlValues const& values, toml::table const& t, std::vector<DeviceSpec> const& before,
                       bool simulated) {
  values.only(t,
              {"kind", "name", "at", "port", "bytes", "open", "fill", "registers", "writes", "text", "hex", "file",
               "fields", "pad"},
              "a device");
  constexpr std::pair<std::string_view, DeviceSpec::Kind> kKinds[] = {{"flash", DeviceSpec::Kind::Flash},
                                                                      {"registers", DeviceSpec::Kind::Registers}};
  auto const kind = values.choice(t, "kind", kKinds);
  if (!kind) {
    values.fail(t, "a device needs a kind: \"flash\" or \"registers\"");
  }
  DeviceSpec d;
  d.kind = *kind;
  d.line = TomlValues::line_of(&t);
  d.name = values.line(t, "name").value_or(d.kind == DeviceSpec::Kind::Flash ? "flash" : "registers");
  read_place(values, t, d);
  d.content = values.data(t);
  if (d.kind == DeviceSpec::Kind::Registers) {
    read_registers(values, t, d);
  } else if (d.ports || t.contains("fill") || t.contains("registers") || t.contains("writes")) {
    values.fail(t, "a flash has an address and content: no port, fill, registers or writes");
  }
  if (auto const fits = check_device(d, before, values.boot()); !fits) {
    values.fail(t, fmt::format("device \"{}\": {}", d.name, fits.error()));
  }
  if (d.kind == DeviceSpec::Kind::Registers && !simulated) {
    values.fail(t,
                fmt::format("device \"{}\": QEMU cannot have it, so the scenario needs targets = [\"sim\"]", d.name));
  }
  if (d.kind == DeviceSpec::Kind::Flash && d.content.empty()) {
    d.content = empty_store(d);
  }
  return d;
}

Bytes read_hob(TomlValues const& values, toml::table const& t) {
  values.only(t, {"guid", "type", "length", "text", "hex", "file", "fields", "pad"}, "a hob");
  auto const name = values.text(t, "guid");
  auto const type = values.number(t, "type", 0, 0xFFFE);
  if (name.has_value() == type.has_value()) {
    values.fail(t, "a hob has either guid or type");
  }
  Bytes body;
  if (name) {
    append_object(body, values.guid(*values.find(t, "guid"), *name));
  }
  append_bytes(body, values.data(t));
  pad_to(body, 8);
  if (body.size() > 0xFFF0) {
    values.fail(t, "a hob has at most 65520 bytes");
  }
  u16 const kind = static_cast<u16>(type.value_or(static_cast<u64>(abi::HobType::GuidExtension)));
  Bytes out;
  u64 const length = values.number(t, "length", 0, 0xFFFF).value_or(sizeof(abi::HobHeader) + body.size());
  append_object(out, abi::HobHeader{kind, static_cast<u16>(length), 0});
  append_bytes(out, body);
  return out;
}

}  // namespace mm::lab
