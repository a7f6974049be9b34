// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <cstring>

#include "core/abi/console.hpp"
#include "tools/lab/run/backend.hpp"

namespace mm::lab {

MachineRun parse_console(std::span<std::byte const> console) {
  MachineRun run;
  std::size_t at = 0;
  while (at + sizeof(abi::FrameHeader) <= console.size()) {
    abi::FrameHeader head;
    std::memcpy(&head, console.data() + at, sizeof head);
    bool const known = head.magic == abi::kFrameMagic && head.kind >= 1 && head.kind <= 4;
    if (!known || head.length > console.size() - at - sizeof head) {
      ++at;
      continue;
    }
    auto const payload = console.subspan(at + sizeof head, head.length);
    at += sizeof head + head.length;
    switch (static_cast<abi::FrameKind>(head.kind)) {
      case abi::FrameKind::Trace:
        if (payload.size() == sizeof(hal::TraceEvent)) {
          hal::TraceEvent event;
          std::memcpy(&event, payload.data(), payload.size());
          add_event(run, event);
        }
        break;
      case abi::FrameKind::StepResult:
        add_result_frame(run, payload, run.trace.size());
        break;
      case abi::FrameKind::Text:
        run.text.emplace_back(reinterpret_cast<char const*>(payload.data()), payload.size());
        break;
      case abi::FrameKind::End:
        run.boot_failed = load_int(payload, 0, 4) != 0;
        run.complete = !run.boot_failed;
        break;
    }
  }
  for (auto const& e : run.trace) {
    if (auto const halt = hal::as<hal::event::Halt>(e)) {
      run.halted = halt->reason;
    }
  }
  judge_ring0(run);
  return run;
}

}  // namespace mm::lab
