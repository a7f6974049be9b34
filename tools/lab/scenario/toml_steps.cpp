// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/toml_steps.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "core/abi/guids.hpp"
#include "core/communication/supervisor_client.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::lab {
namespace {

constexpr u64 kBelow = u64{1} << 32;  ///< memory steps reach this far

/// Every table is checked for unknown keys before its keys are used.
class StepReader : private TomlValues {
 public:
  explicit StepReader(TomlValues const& values) : TomlValues(values) {}

  ScenarioStep read(toml::table const& t) const {
    using Build = void (StepReader::*)(toml::table const&, ScenarioStep&) const;
    static constexpr std::pair<std::string_view, Build> kKinds[] = {{"communicate", &StepReader::communicate},
                                                                    {"dispatch", &StepReader::event},
                                                                    {"ready-to-lock", &StepReader::event},
                                                                    {"exit-boot-services", &StepReader::event},
                                                                    {"end-of-dxe", &StepReader::event},
                                                                    {"ready-to-boot", &StepReader::event},
                                                                    {"mmi", &StepReader::mmi},
                                                                    {"ipi", &StepReader::ipi},
                                                                    {"mailbox", &StepReader::mailbox},
                                                                    {"unblock", &StepReader::unblock},
                                                                    {"comm-buffers", &StepReader::comm_buffers},
                                                                    {"read", &StepReader::memory},
                                                                    {"write", &StepReader::memory},
                                                                    {"fill", &StepReader::memory},
                                                                    {"io", &StepReader::io},
                                                                    {"msr", &StepReader::msr},
                                                                    {"registers", &StepReader::registers},
                                                                    {"park", &StepReader::park}};
    ScenarioStep step;
    step.line = static_cast<int>(t.source().begin.line);
    auto const build = choice(t, "kind", kKinds);
    if (!build) {
      fail(t, "a step needs a kind");
    }
    step.kind = *text(t, "kind");
    step.title = line(t, "title").value_or(step.kind);
    (this->**build)(t, step);
    repeat(t, step);
    if (auto const* expect = table(t, "expect")) {
      step.expect.line = line_of(expect);
      read_step_expect(*expect, step);
    }
    return step;
  }

 private:
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
    bool const memory = step.kind == "read" || step.kind == "write" || step.kind == "fill";
    if (memory && stride != 0 && count - 1 > (kBelow - 1 - step.program.front().head.a) / stride) {
      fail(t, "stride: the last address is beyond 4 GiB");
    }
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
  static void add(ScenarioStep& step, steps::StepOp op, u64 a = 0, u64 b = 0, u64 c = 0, Bytes bytes = {}) {
    step.program.push_back({{static_cast<u16>(op), 0, static_cast<u32>(bytes.size()), a, b, c}, std::move(bytes)});
  }
  abi::Channel channel(toml::table const& t, abi::Channel otherwise) const {
    constexpr std::pair<std::string_view, abi::Channel> kNames[] = {{"user", abi::Channel::User},
                                                                    {"supervisor", abi::Channel::Supervisor}};
    return choice(t, "channel", kNames).value_or(otherwise);
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
    if (out.data.size() > steps::kMaxStepBytes) {
      fail(t, fmt::format("the message and its header have {} bytes, the buffer {}", out.data.size(),
                          steps::kMaxStepBytes));
    }
    out.head.data_bytes = static_cast<u32>(out.data.size());
    if (crafted) {
      out.head.b = number(t, "valid", 0, 255).value_or(1);
    }
    out.head.c = number(t, "reply_capacity", 0, steps::kMaxStepBytes).value_or(steps::kMaxStepBytes);
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
    if (auto const cpu = number(t, "cpu", 0, boot().cpus - 1)) {
      return add(step, steps::StepOp::SmiTo, *cpu);
    }
    u64 const command = number(t, "command", 0, 255).value_or(0);
    u64 const nmi = flag(t, "nmi").value_or(false) ? 1 : 0;
    add(step, steps::StepOp::RawMmi, command, number(t, "data", 0, 255).value_or(0), nmi);
  }
  void ipi(toml::table const& t, ScenarioStep& step) const {
    using arch::DeliveryMode;
    using arch::Shorthand;
    only_step(t, {"mode", "to", "cpu", "vector"}, "an ipi step");
    constexpr std::pair<std::string_view, DeliveryMode> kModes[] = {{"smi", DeliveryMode::Smi},
                                                                    {"init", DeliveryMode::Init},
                                                                    {"startup", DeliveryMode::Startup},
                                                                    {"fixed", DeliveryMode::Fixed}};
    constexpr std::pair<std::string_view, Shorthand> kGroups[] = {
        {"self", Shorthand::Self}, {"all", Shorthand::All}, {"others", Shorthand::Others}};
    auto const mode = choice(t, "mode", kModes);
    auto const group = choice(t, "to", kGroups);
    auto const cpu = number(t, "cpu", 0, boot().cpus - 1);
    if (!mode || group.has_value() == cpu.has_value()) {
      fail(t, "an ipi step has a mode, and either to or cpu");
    }
    u64 const otherwise = *mode == DeliveryMode::Startup ? arch::kStartVector : 0;
    u32 const vector = static_cast<u32>(number(t, "vector", 0, 255).value_or(otherwise));
    u32 const command = arch::ipi_command(*mode, group.value_or(Shorthand::None), vector);
    u32 const destination = static_cast<u32>(cpu.value_or(0));
    if (!arch::is_sendable(command, destination)) {
      fail(t,
           "this ipi cannot be sent: CPU 0 runs the steps, a CPU starts at vector 0xFF, fixed vectors are 16 to 255");
    }
    add(step, steps::StepOp::Ipi, command, destination);
  }
  void mailbox(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"channel", "hex", "fields", "text", "file", "pad"}, "a mailbox step");
    add(step, steps::StepOp::Mailbox, static_cast<u64>(channel(t, abi::Channel::User)), 0, 0, data(t));
  }
  void comm_buffers(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"channel", "buffer", "mailbox"}, "a comm-buffers step");
    add(step, steps::StepOp::UseBuffers, static_cast<u64>(channel(t, abi::Channel::User)),
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
    step.answer_at = offsetof(abi::SupervisorRequestHeader, result);
    step.program.push_back(call_step(abi::Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message));
  }
  void memory(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"address", "bytes", "value", "text", "hex", "file", "fields", "pad", "stride"}, "a memory step");
    u64 const at = need(t, "address", 0xFFFF'FFFF);
    auto const check_end = [&](u64 bytes) {
      if (bytes > kBelow - at) {
        fail(t, fmt::format("{} bytes from {} on reach beyond 4 GiB", bytes, hex_number(at)));
      }
    };
    if (step.kind == "write") {
      auto content = data(t);
      check_end(content.size());
      return add(step, steps::StepOp::Write, at, 0, 0, std::move(content));
    }
    u64 const bytes = need(t, "bytes", steps::kMaxStepBytes);
    check_end(bytes);
    bool const is_read = step.kind == "read";
    add(step, is_read ? steps::StepOp::Read : steps::StepOp::Fill, at, bytes, number(t, "value", 0, 255).value_or(0));
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
    add(step, out ? steps::StepOp::PortOut : steps::StepOp::PortIn, port, width / 2, out.value_or(0));
  }
  void trapped_io(toml::table const& t, ScenarioStep& step, u64 port, u64 width, std::optional<u64> out) const {
    using Form = steps::TrappedForm;
    bool const immediate = flag(t, "immediate").value_or(false);
    if (immediate && port > 0xFF) {
      fail(*find(t, "port"), "port: an immediate port is at most 0xFF");
    }
    add(step, steps::StepOp::TrappedIo, port, width / 2, out.value_or(0));
    step.program.back().head.form = static_cast<u16>((out ? 0 : Form::kIn) | (immediate ? Form::kImmediate : 0));
  }
  void msr(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"msr", "write"}, "an msr step");
    auto const out = number(t, "write");
    add(step, out ? steps::StepOp::WriteMsr : steps::StepOp::ReadMsr, need(t, "msr", 0xFFFF'FFFF), out.value_or(0));
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
    steps::CpuState state;
    u64 mask = 0;
    auto const set = [&](steps::CpuRegister r, std::optional<u64> value) {
      if (value) {
        state[r] = *value;
        mask |= u64{1} << static_cast<u32>(r);
      }
    };
    for (auto const& [name, r] : kRegisterNames) {
      set(r, number(t, name));
    }
    constexpr std::pair<std::string_view, u64> kForms[] = {{"immediate", 0}, {"dx", 1}};
    set(steps::CpuRegister::Form, choice(t, "out", kForms));
    Bytes bytes;
    if (mask != 0) {
      append_object(bytes, state);
    }
    if (auto const* loads = table(t, "behind")) {
      behind(*loads, step);
    }
    add(step, steps::StepOp::Cpu, mask, 0, 0, std::move(bytes));
  }
  void behind(toml::table const& t, ScenarioStep& step) const {
    only(t, register_names({}), "behind");
    steps::CpuState state;
    steps::LaterLoads loads;
    for (auto const& [name, r] : kRegisterNames) {
      if (auto const value = number(t, name)) {
        state[r] = *value;
        loads.mask |= 1u << static_cast<u32>(r);
      }
    }
    if (!loads.is_loadable()) {
      fail(t, fmt::format("behind takes at most {} general registers, and not rsp", steps::LaterLoads::kMost));
    }
    Bytes bytes;
    append_object(bytes, state);
    add(step, steps::StepOp::Later, loads.mask, 0, 0, std::move(bytes));
  }
  void park(toml::table const& t, ScenarioStep& step) const {
    only_step(t, {"cpu", "port", "width", "string", "rsi"}, "a park step");
    if (boot().cpus == 1) {
      fail(t, "a park step needs a second CPU");
    }
    auto const cpu = number(t, "cpu", 1, boot().cpus - 1);
    u64 const width = number(t, "width", 1, 4).value_or(1);
    if (!cpu || width == 3) {
      fail(t, !cpu ? "cpu is missing" : "width is 1, 2 or 4 bytes");
    }
    u64 const port = need(t, "port", 0xFFFF) | width / 2 << 16;
    add(step, steps::StepOp::Park, *cpu, port, number(t, "rsi").value_or(0));
    step.program.back().head.form = flag(t, "string").value_or(false) ? steps::TrappedForm::kString : u16{0};
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
    only(t,
         {"status", "error", "size", "message_size", "value", "valid", "text", "hex", "fields", "registers", "halts"},
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
    step.expect.error = flag(t, "error");
    if (step.expect.error && step.expect.status) {
      fail(t, "a step expects either a status or error = true or false");
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
};

}  // namespace

ScenarioStep read_step(TomlValues const& values, toml::table const& step) { return StepReader{values}.read(step); }

}  // namespace mm::lab
