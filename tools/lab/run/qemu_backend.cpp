// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/qemu_process.hpp"
#include "tools/lab/text/temporary_folder.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr int kExitOk = 1, kExitHalted = 3;  ///< of isa-debug-exit: what the ROM and the traced core write

DeviceSpec const* flash_of(Prepared const& p) {
  auto const& devices = p.scenario.devices;
  auto const found = std::ranges::find(devices, DeviceSpec::Kind::Flash, &DeviceSpec::kind);
  return found == devices.end() ? nullptr : &*found;
}

/// The ROM as a ROM; with a flash as the flash above that one, which only MM may write.
std::vector<std::string> rom_options(Prepared const& p, fs::path const& folder) {
  if (flash_of(p) == nullptr) {
    return {"-bios", (p.images / "mm-q35.rom").string()};
  }
  return {"-drive",  "if=pflash,unit=0,format=raw,readonly=on,file=" + qemu_value(folder / "rom"),
          "-drive",  "if=pflash,unit=1,format=raw,file=" + qemu_value(folder / "flash"),
          "-global", "driver=cfi.pflash01,property=secure,value=on"};
}

std::vector<std::string> command_line(Prepared const& p, fs::path const& folder) {
  auto const file = [&](char const* name) {
    return fmt::format("name=opt/mm/{},file={}", name, qemu_value(folder / name));
  };
  std::vector<std::string> line{"qemu-system-x86_64",
                                "-machine",
                                "q35,smm=on",
                                "-accel",
                                p.qemu.threads ? "tcg,thread=multi" : "tcg,thread=single",
                                "-cpu",
                                "Westmere,+smep,+smap,+umip",
                                "-m",
                                std::to_string(p.scenario.boot.ram_bytes >> 20),
                                "-smp",
                                std::to_string(p.scenario.boot.cpus),
                                "-global",
                                fmt::format("mch.extended-tseg-mbytes={}", p.scenario.boot.tseg_bytes >> 20),
                                "-debugcon",
                                "file:" + (folder / "console").string(),
                                "-global",
                                "isa-debugcon.iobase=0x402",
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=4",
                                "-fw_cfg",
                                file("config"),
                                "-fw_cfg",
                                file("fv"),
                                "-fw_cfg",
                                file("steps"),
                                "-fw_cfg",
                                file("hobs"),
                                "-display",
                                "none",
                                "-no-reboot",
                                "-nodefaults",
                                "-monitor",
                                p.qemu.os ? "none" : "stdio",
                                "-serial"};
  auto const rom = rom_options(p, folder);
  line.insert(line.end() - 1, rom.begin(), rom.end());
  if (!p.qemu.os) {
    line.push_back("file:" + (folder / "serial").string());
    return line;
  }
  line.insert(line.end(), {"stdio", "-kernel", p.qemu.os->kernel.string(), "-append", p.qemu.os->command_line});
  if (!p.qemu.os->initrd.empty()) {
    line.insert(line.end(), {"-initrd", p.qemu.os->initrd.string()});
  }
  return line;
}

/// How the emulator ended, and where its CPUs were when they were asked last.
struct Ending {
  int code = 0;
  std::optional<RunEnd> end;
  std::vector<CpuView> cpus;
};

bool is_stopped(CpuView const& cpu) { return cpu.in_mm && cpu.halted; }

/// Waits for the end of the emulator. The release core halts without a word: there the monitor is asked whether a CPU
/// is stopped inside MM, and the others get a moment to follow it.
class Watch {
 public:
  Watch(Prepared const& p, QemuProcess& process, fs::path const& folder)
      : p_(p), process_(process), console_(folder / "console"), monitor_(process.monitor()) {}

  Ending wait() {
    auto const limit = p_.qemu.limit.count() == 0 ? Clock::time_point::max() : Clock::now() + p_.qemu.limit;
    for (auto look = Clock::now() + kFirstLook;;) {
      if (auto const code = process_.exit_code()) {
        return {.code = *code, .end = {}, .cpus = {}};
      }
      auto const now = Clock::now();
      if (now > look) {
        look = now + kBetweenLooks;
        std::error_code none;
        if (auto const size = fs::file_size(console_, none); !none && !p_.qemu.os && size > RunLimits::kConsoleBytes) {
          return kill(RunEnd::OutputLimit);
        }
        if (p_.release && has_stopped()) {
          return {.code = 0, .end = RunEnd::Stopped, .cpus = std::move(last_)};
        }
      }
      if (now > limit) {
        return kill(RunEnd::TimeLimit);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  }

 private:
  static constexpr std::chrono::milliseconds kFirstLook{300};
  static constexpr std::chrono::milliseconds kBetweenLooks{100};
  static constexpr std::chrono::seconds kOthersFollow{2};

  Ending kill(RunEnd why) {
    auto cpus = monitor_.cpus();
    process_.kill();
    return {.code = 0, .end = why, .cpus = std::move(cpus)};
  }
  /// A CPU was in HLT inside MM at two looks, and all are, or the time of the others is over.
  bool has_stopped() {
    auto const before = std::move(last_);
    last_ = monitor_.cpus();
    bool const whole = last_.size() == p_.scenario.boot.cpus;  // else the answer was cut off
    bool const one = whole && std::ranges::any_of(last_, [&](CpuView const& cpu) {
                       return is_stopped(cpu) && std::ranges::find(before, cpu) != before.end();
                     });
    if (!one) {
      since_.reset();
      return false;
    }
    since_ = since_.value_or(Clock::now());
    return std::ranges::all_of(last_, is_stopped) || Clock::now() - *since_ > kOthersFollow;
  }

  Prepared const& p_;
  QemuProcess& process_;
  fs::path console_;
  QemuMonitor monitor_;
  std::vector<CpuView> last_;
  std::optional<Clock::time_point> since_;
};

std::string log_of(fs::path const& folder) {
  auto const log = read_file(folder / "log");
  return log ? std::string{reinterpret_cast<char const*>(log->data()), log->size()} : "";
}

/// Says in `run` how the emulator ended. Error: not by what the machine did.
std::expected<void, std::string> judge_end(Prepared const& p, Ending const& ending, fs::path const& folder,
                                           MachineRun& run) {
  run.ended = ending.end;
  if (ending.end == RunEnd::Stopped) {
    for (auto const& cpu : ending.cpus) {
      if (!cpu.in_mm) {
        run.outside.push_back(cpu.index);
      }
    }
    return {};
  }
  if (ending.end) {
    run.text.push_back(
        *ending.end == RunEnd::TimeLimit
            ? fmt::format("killed after {} seconds, {}", p.qemu.limit.count(), under_way(p, run))
            : fmt::format("killed after {} MiB of output, {}", RunLimits::kConsoleBytes >> 20, under_way(p, run)));
    for (auto const& cpu : ending.cpus) {
      run.text.push_back(describe(cpu));
    }
    return {};
  }
  if (ending.code == 0) {
    run.complete = p.qemu.os.has_value();  // switched off by the operating system
    run.ended = run.complete ? std::nullopt : std::optional{RunEnd::Reset};
    return {};
  }
  bool const ours = ending.code == kExitOk || ending.code == kExitHalted || run.boot_failed;
  bool const spoke = !run.trace.empty() || !run.results.empty() || !run.text.empty() || run.complete || run.boot_failed;
  if (!ours || (ending.code == kExitOk && !spoke)) {
    return std::unexpected(fmt::format("QEMU ended with exit code {} {}", ending.code, log_of(folder)));
  }
  return {};
}

/// The flash, and the ROM with as much in front of it as brings the flash to its place.
std::expected<void, std::string> write_flash(Prepared const& p, fs::path const& folder) {
  DeviceSpec const* const flash = flash_of(p);
  if (flash == nullptr) {
    return {};
  }
  MM_TRY_ASSIGN(auto rom, read_file(p.images / "mm-q35.rom"));
  u64 const above = (u64{1} << 32) - flash->range().end();
  rom.insert(rom.begin(), above - rom.size(), std::byte{0xFF});
  Bytes content = flash->content;
  content.resize(flash->bytes, std::byte{0xFF});
  MM_TRY(write_file(folder / "rom", rom));
  return write_file(folder / "flash", content);
}

std::expected<void, std::string> write_inputs(Prepared const& p, fs::path const& folder) {
  Bytes config;
  append_object(config, p.scenario.boot);
  for (auto const& [name, bytes] : {std::pair<char const*, Bytes const*>{"config", &config},
                                    {"fv", &p.fv},
                                    {"steps", &p.program.bytes},
                                    {"hobs", &p.scenario.hobs}}) {
    MM_TRY(write_file(folder / name, *bytes));
  }
  return write_flash(p, folder);
}

class QemuBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "qemu"; }
  std::optional<std::string> unavailable(fs::path const& images) const override;
  std::expected<MachineRun, std::string> run(Prepared const& prepared) const override;
};

std::optional<std::string> QemuBackend::unavailable(fs::path const& images) const {
  if (!fs::is_regular_file(images / "mm-q35.rom")) {
    return fmt::format("{} is missing: the ROM of the QEMU machine is one of the images (target 'images')",
                       (images / "mm-q35.rom").string());
  }
  char const* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    auto const colon = rest.find(':');
    if (::access((fs::path{rest.substr(0, colon)} / "qemu-system-x86_64").c_str(), X_OK) == 0) {
      return std::nullopt;
    }
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return "qemu-system-x86_64 is not installed";
}

std::expected<MachineRun, std::string> QemuBackend::run(Prepared const& p) const {
  if (auto why = unavailable(p.images)) {
    return std::unexpected(*why);
  }
  TemporaryFolder const folder;
  if (folder.path().empty()) {
    return std::unexpected(std::string{"no temporary folder could be made"});
  }
  MM_TRY(write_inputs(p, folder.path()));
  auto arguments = command_line(p, folder.path());
  arguments.insert(arguments.end(), p.qemu.options.begin(), p.qemu.options.end());
  auto process =
      QemuProcess::start(std::move(arguments), p.qemu.os ? std::nullopt : std::optional{folder.path() / "log"});
  if (!process) {
    return std::unexpected(process.error());
  }
  Ending const ending = Watch{p, *process, folder.path()}.wait();
  process->kill();
  auto const console = read_file(folder.path() / "console");
  MachineRun run = parse_console(console ? *console : Bytes{});
  if (auto const serial = read_file(folder.path() / "serial")) {
    run.serial.assign(reinterpret_cast<char const*>(serial->data()), serial->size());
  }
  MM_TRY(judge_end(p, ending, folder.path(), run));
  return run;
}

}  // namespace

Backend const& qemu() {
  static QemuBackend const backend;
  return backend;
}

Backend const* find_backend(std::string_view name) {
  for (auto const* backend : {&simulator(), &qemu()}) {
    if (backend->name() == name) {
      return backend;
    }
  }
  return nullptr;
}

}  // namespace mm::lab
