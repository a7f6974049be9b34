// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>

#include "core/communication/supervisor_client.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/linux/comm_region.hpp"
#include "tools/linux/file_lock.hpp"
#include "tools/linux/hostile.hpp"
#include "tools/linux/linux_world.hpp"

/// mmcomm: messages to MM from Linux, through the same component that firmware would use.
namespace mm::linux_tool {
namespace {

using namespace mm::communication;
using lab::Bytes;

enum ExitCode : int { kAnswered = 0, kRefused = 1, kUsage = 2, kEnvironment = 3 };
constexpr u8 kUserBuffer = 0, kSupervisorBuffer = 1;

/// Why the command ends: an exit code and a sentence.
struct Stop {
  ExitCode code;
  std::string why;
};
template <typename T = void>
using Result = std::expected<T, Stop>;

std::unexpected<Stop> stop(ExitCode code, std::string why) { return std::unexpected(Stop{code, std::move(why)}); }

struct Options {
  std::string user, supervisor;  ///< ADDRESS,PAGES,MAILBOX; empty: from the kernel command line
  u16 port = 0xB2, data_port = 0xB3;
  std::string to = "Hello", hex, text, file, channel = "user";
  u64 length = 0;
  std::string out;
  std::string event, base, guid;
  u64 pages = 1, bytes = 16, count = 10'000;
  double seconds = 10;  ///< of hostile
  u64 seed = 1;
  double wait = 30;  ///< seconds, for another mmcomm to end
};

std::string describe(Status status) {
  auto const name = lab::status_name(static_cast<u64>(status));
  return fmt::format("{} ({:#x})", name.empty() ? "unknown status" : name, static_cast<u64>(status));
}

std::string_view name_of(CommunicateError error) { return lab::communicate_error_name(static_cast<u64>(error)); }

/// Where the buffer of a channel is: the option, else the kernel command line.
Result<CommRegion> region_of(std::string const& option, char const* channel) {
  std::string text = option;
  if (text.empty()) {
    auto const line = lab::read_file("/proc/cmdline");
    std::string const words = line ? std::string{reinterpret_cast<char const*>(line->data()), line->size()} : "";
    text = kernel_parameter(words, fmt::format("mm_comm.{}", channel));
  }
  if (text.empty()) {
    return stop(kUsage, fmt::format("where is the {} communicate buffer? Give --{} ADDRESS,PAGES,MAILBOX (the kernel "
                                    "command line has no mm_comm.{}=)",
                                    channel, channel, channel));
  }
  auto const region = parse_comm_region(text);
  return region ? Result<CommRegion>{*region} : stop(kUsage, region.error());
}

using Trigger = SwMmiTrigger<LinuxWorld>;
using Executor = RealMmExecutor<Trigger>;
using Communicator = MmCommunicator<LinuxWorld, Executor>;
using Client = SupervisorClient<Communicator, LinuxWorld>;

/// What every mmcomm opens and locks: there is one set of communicate buffers in the machine, and the answer in it
/// belongs to whoever sent the message until it was read.
constexpr char kMemory[] = "/dev/mem";

std::chrono::milliseconds wait_limit(Options const& options) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(options.wait));
}

/// The component, over this machine. Nobody else has it meanwhile.
class Mm {
 public:
  static Result<std::unique_ptr<Mm>> open(Options const& options) {
    auto world = LinuxWorld::open();
    if (!world) {
      return stop(kEnvironment, world.error());
    }
    auto lock = FileLock::take(kMemory, wait_limit(options));
    if (!lock) {
      return stop(kEnvironment, lock.error());
    }
    std::unique_ptr<Mm> mm{new Mm{std::move(*world), std::move(*lock), options}};
    CommunicationConfig config;
    for (auto const& [id, option, channel] : {std::tuple{kUserBuffer, &options.user, "user"},
                                              std::tuple{kSupervisorBuffer, &options.supervisor, "supervisor"}}) {
      MM_TRY_ASSIGN(CommRegion const region, region_of(*option, channel));
      MM_TRY_ASSIGN(config.comm_buffers[id], mm->buffer(region, id));
    }
    if (auto const ready = mm->trigger_.start(); !ready) {
      return stop(kEnvironment, "the port of software MMIs: " + describe(ready.error()));
    }
    mm->communicator_.emplace(mm->world, config, &mm->executor_);
    return mm;
  }

  Communicator& communicator() { return *communicator_; }
  Client client(u8 buffer = kSupervisorBuffer) { return Client{*communicator_, buffer}; }
  LinuxWorld world;

 private:
  Mm(LinuxWorld w, FileLock lock, Options const& options)
      : world(std::move(w)),
        lock_(std::move(lock)),
        trigger_(world, AcpiBase{}, MmiPort::smi(options.port), MmiPort::smi(options.data_port)),
        executor_(trigger_) {}

  Result<CommunicateBuffer> buffer(CommRegion const& region, u8 id) {
    for (auto const& [address, bytes] : {std::pair{region.address, region.bytes()}, {region.mailbox, kMailboxBytes}}) {
      if (auto const mapped = world.map(address, bytes); !mapped) {
        return stop(kEnvironment, mapped.error());
      }
    }
    auto const made = CommunicateBuffer::make(world, region.address, region.bytes(), id, region.mailbox);
    if (!made) {
      return stop(kUsage, "the communicate buffer cannot be used");
    }
    withdraw_what_is_left(*made);
    return *made;
  }
  /// We have the lock, so the sender of a message that is still on its way died before MM took it.
  void withdraw_what_is_left(CommunicateBuffer const& buffer) {
    auto const mailbox = buffer.read_mailbox(world);
    if (mailbox && mailbox->is_comm_buffer_valid != 0) {
      std::cerr << "mmcomm: note: withdrew a message that was sent and never served\n";
      (void)buffer.write_mailbox(world, {});
    }
  }

  FileLock lock_;
  Trigger trigger_;
  Executor executor_;
  std::optional<Communicator> communicator_;
};

Result<Guid> guid_of(std::string const& text) {
  auto const guid = lab::find_guid(text);
  return guid ? Result<Guid>{*guid} : stop(kUsage, guid.error());
}
Result<u64> number_of(std::string const& text) {
  auto const value = parse_number(text);
  return value ? Result<u64>{*value} : stop(kUsage, value.error());
}

Result<Bytes> message_of(Options const& options) {
  if (!options.file.empty()) {
    auto bytes = lab::read_file(options.file);
    return bytes ? Result<Bytes>{std::move(*bytes)} : stop(kUsage, bytes.error());
  }
  if (!options.hex.empty()) {
    auto bytes = lab::parse_hex(options.hex);
    return bytes ? Result<Bytes>{std::move(*bytes)} : stop(kUsage, bytes.error());
  }
  Bytes bytes;
  lab::append_text(bytes, options.text);
  return bytes;
}

Result<> send(Mm& mm, Options const& options) {
  MM_TRY_ASSIGN(Guid const to, guid_of(options.to));
  MM_TRY_ASSIGN(Bytes const data, message_of(options));
  u8 const buffer = options.channel == "supervisor" ? kSupervisorBuffer : kUserBuffer;
  Bytes reply(mm.communicator().find(buffer)->size());
  auto const done = mm.communicator().communicate(buffer, {to, data, options.length}, reply);
  auto const answer = static_cast<Status>(mm.communicator().answer().return_status);
  if (!done) {
    return stop(kRefused, fmt::format("{}: {}", name_of(done.error()), describe(efi_status(done.error(), answer))));
  }
  fmt::print("{}, {} bytes\n", describe(answer), *done);
  fmt::print("{}", lab::hex_dump(std::span{reply}.first(*done)));
  return {};
}

Result<> refused(Status status) { return stop(kRefused, describe(status)); }

Result<> version(Mm& mm, Options const&) {
  auto const info = mm.client().version();
  if (!info) {
    return refused(info.error());
  }
  fmt::print("supervisor version {:#x}, patch level {:#x}, requests up to {}\n", info->version, info->patch_level,
             info->max_request_level);
  return {};
}

Result<> policy(Mm& mm, Options const& options) {
  Bytes blob(mm.communicator().find(kSupervisorBuffer)->size());
  auto const bytes = mm.client().fetch_policy(blob);
  if (!bytes) {
    return refused(bytes.error());
  }
  blob.resize(*bytes);
  fmt::print("policy of {} bytes; MM is locked\n", blob.size());
  if (options.out.empty()) {
    return {};
  }
  auto const written = lab::write_file(options.out, blob);
  return written ? Result<>{} : stop(kUsage, written.error());
}

Result<> notify(Mm& mm, Options const& options) {
  MM_TRY_ASSIGN(Guid const event, guid_of(options.event));
  auto const done = mm.client(options.channel == "user" ? kUserBuffer : kSupervisorBuffer).notify(event);
  if (!done) {
    return refused(done.error());
  }
  fmt::print("{}: told\n", lab::guid_name(event));
  return {};
}

Result<> unblock(Mm& mm, Options const& options) {
  abi::UnblockMemoryParams params;
  MM_TRY_ASSIGN(params.descriptor.physical_start, number_of(options.base));
  MM_TRY_ASSIGN(params.identifier, guid_of(options.guid));
  params.descriptor.type = kRuntimeServicesData;
  params.descriptor.number_of_pages = options.pages;
  auto const done = mm.client().unblock(params);
  if (!done) {
    return refused(done.error());
  }
  fmt::print("{} page(s) at {:#x}: unblocked\n", options.pages, params.descriptor.physical_start);
  return {};
}

Result<> read(Mm& mm, Options const& options) {
  MM_TRY_ASSIGN(u64 const address, number_of(options.base));
  if (auto const mapped = mm.world.map(address, options.bytes); !mapped) {
    return stop(kEnvironment, mapped.error());
  }
  Bytes bytes(options.bytes);
  mm.world.read(PhysAddr{address}, bytes);
  fmt::print("{}", lab::hex_dump(bytes, address));
  return {};
}

Result<> bench(Mm& mm, Options const& options) {
  using Clock = std::chrono::steady_clock;
  MM_TRY_ASSIGN(Guid const to, guid_of(options.to));
  MM_TRY_ASSIGN(Bytes const data, message_of(options));
  std::vector<double> us(options.count);
  for (double& one : us) {
    auto const before = Clock::now();
    if (auto const done = mm.communicator().communicate_in_place(kUserBuffer, {to, data, options.length}); !done) {
      return stop(kRefused, std::string{name_of(done.error())});
    }
    one = std::chrono::duration<double, std::micro>(Clock::now() - before).count();
  }
  std::ranges::sort(us);
  fmt::print("{} messages to {}: least {:.1f} us, median {:.1f} us, most {:.1f} us\n", us.size(), lab::guid_name(to),
             us.front(), us[us.size() / 2], us.back());
  return {};
}

Result<> hostile(Mm& mm, Options const& options) {
  MM_TRY_ASSIGN(Guid const to, guid_of(options.to));
  MM_TRY_ASSIGN(Bytes const data, message_of(options));
  MM_TRY_ASSIGN(CommRegion const user, region_of(options.user, "user"));
  MM_TRY_ASSIGN(CommRegion const supervisor, region_of(options.supervisor, "supervisor"));
  auto const in_order = [&]() -> std::string {
    auto const answer = mm.communicator().communicate_in_place(kUserBuffer, {to, data, options.length});
    return answer ? "" : fmt::format("a message in order to {}: {}", lab::guid_name(to), name_of(answer.error()));
  };
  auto const done = be_hostile(mm.world, {user, supervisor, options.seconds, options.seed}, in_order);
  if (!done) {
    return stop(kRefused, done.error());
  }
  fmt::print(
      "{} MMIs with random buffers, {} chipset registers poked, {} bytes changed by another process meanwhile; "
      "{} messages in order, each answered\n",
      done->mmis, done->pokes, done->scribbles, done->answered);
  return {};
}

using Command = Result<> (*)(Mm&, Options const&);

/// The sub-commands; the second is what each does.
std::vector<std::pair<CLI::App*, Command>> add_commands(CLI::App& app, Options& o) {
  std::vector<std::pair<CLI::App*, Command>> commands;
  auto const add = [&](char const* name, char const* text, Command command) {
    return commands.emplace_back(app.add_subcommand(name, text), command).first;
  };
  auto const message = [&](CLI::App* to) {
    to->add_option("--to", o.to, "Handler GUID, or a known name")->capture_default_str();
    auto* data = to->add_option_group("message");
    data->add_option("--hex", o.hex, "Message as hexadecimal digits");
    data->add_option("--text", o.text, "Message as text");
    data->add_option("--file", o.file, "Message is the content of this file");
    data->require_option(1);
    to->add_option("--length", o.length, "Bytes of the message, zeros behind the data: room for a longer reply");
  };
  auto const channel = [&](CLI::App* to) {
    to->add_option("--channel", o.channel, "Communicate channel")->check(CLI::IsMember({"user", "supervisor"}));
  };
  add("version", "Ask the supervisor for its version", version);
  auto* const sending = add("send", "Send one message and print the reply", send);
  message(sending);
  channel(sending);
  add("policy", "Fetch the policy, which locks MM", policy)->add_option("--out", o.out, "Write the blob to this file");
  auto* const telling = add("notify", "Tell an event: ReadyToLock, ExitBootServices, EndOfDxe, ... or a GUID", notify);
  telling->add_option("EVENT", o.event)->required();
  channel(telling);
  auto* const opening = add("unblock", "Ask the supervisor to let ring 3 reach memory of the normal world", unblock);
  opening->add_option("ADDRESS", o.base)->required();
  opening->add_option("GUID", o.guid, "Who asks")->required();
  opening->add_option("--pages", o.pages, "Pages of 4 KiB")->capture_default_str();
  auto* const looking = add("read", "Show physical memory; locked MMRAM reads as FF", read);
  looking->add_option("ADDRESS", o.base)->required();
  looking->add_option("BYTES", o.bytes)->capture_default_str();
  auto* const timing = add("bench", "Time messages", bench);
  message(timing);
  auto* const attacking =
      add("hostile", "Random buffers, mailboxes and chipset registers; messages in order between", hostile);
  message(attacking);
  attacking->add_option("--time", o.seconds, "Seconds")->check(CLI::Range(0.1, 86400.0))->capture_default_str();
  attacking->add_option("--seed", o.seed, "Of the random choices")->capture_default_str();
  timing->add_option("--count", o.count, "Messages")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  return commands;
}

int run(int argc, char** argv) {
  CLI::App app{"Messages to management mode from Linux. Needs root; memory by /dev/mem, the MMI by port 0xB2.\n"};
  app.footer(
      "\nExamples:\n"
      "  mmcomm version\n"
      "  mmcomm send --to Hello --text Hello\n"
      "  mmcomm --user 0x4000000,16,0x4020000 --supervisor 0x4010000,16,0x4021000 policy --out policy.bin\n"
      "Exit codes: 0 answered, 1 MM refused or answered with an error, 2 usage, 3 environment.");
  app.require_subcommand(1);
  Options options;
  app.add_option("--user", options.user, "User buffer, ADDRESS,PAGES,MAILBOX; default: mm_comm.user= of the kernel");
  app.add_option("--supervisor", options.supervisor, "Supervisor buffer; default: mm_comm.supervisor= of the kernel");
  app.add_option("--port", options.port, "I/O port of the command")->capture_default_str();
  app.add_option("--data-port", options.data_port, "I/O port of the data")->capture_default_str();
  app.add_option("--wait", options.wait, "Seconds to wait for another mmcomm to end")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  auto const commands = add_commands(app, options);
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? kAnswered : kUsage;
  }
  auto const chosen = std::ranges::find_if(commands, [](auto const& c) { return c.first->parsed(); });
  auto const mm = Mm::open(options);
  auto const done = mm ? chosen->second(**mm, options) : Result<>{std::unexpected(mm.error())};
  if (done) {
    return kAnswered;
  }
  std::cerr << "mmcomm: " << done.error().why << '\n';
  return done.error().code;
}

}  // namespace
}  // namespace mm::linux_tool

int main(int argc, char** argv) { return mm::linux_tool::run(argc, argv); }
