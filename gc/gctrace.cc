// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/gctrace.h.
#include "gc/gctrace.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "heap/fatal.h"

namespace cairn::gc {
namespace {

// A time in milliseconds as Go prints it: whole from 10 ms on, two digits below, at most three decimals.
struct milliseconds {
  std::uint64_t ns;
};

// A megabyte is 2^20 here, rounded down, as in Go; the goal may be "none", which prints as 17592186044415.
std::size_t megabytes(std::size_t bytes) { return bytes >> 20; }

}  // namespace
}  // namespace cairn::gc

template <>
struct fmt::formatter<cairn::gc::milliseconds> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  auto format(const cairn::gc::milliseconds& t, format_context& context) const {
    std::uint64_t us = t.ns / 1000;
    if (us >= 10'000) return format_to(context.out(), "{}", us / 1000);
    unsigned decimals = 3;
    std::uint64_t digits = us;  // two digits that count: 12 us is 0.012, 120 us is 0.12, 1200 us is 1.2
    for (; digits >= 100; digits /= 10) --decimals;
    if (digits == 0) return format_to(context.out(), "0");
    std::uint64_t unit = decimals == 3 ? 1000 : decimals == 2 ? 100 : 10;
    return format_to(context.out(), "{}.{:0{}}", digits / unit, digits % unit, decimals);
  }
};

namespace cairn::gc {

std::size_t format_gctrace(const cycle_record& c, char* out, std::size_t capacity) noexcept {
  auto ms = [](std::uint64_t ns) { return milliseconds{ns}; };
  double percent = std::clamp(std::isfinite(c.cpu_fraction) ? c.cpu_fraction : 0.0, 0.0, 1.0) * 100;
  auto result = fmt::format_to_n(
      out, capacity,
      "gc {} @{}.{:03}s {}%: {}+{}+{} ms clock, {}+{}/{}/{}+{} ms cpu, "
      "{}->{}->{} MB, {} MB goal, {} MB stacks, {} MB globals, {} P{}\n",
      c.number, c.since_start / 1'000'000'000, c.since_start / 1'000'000 % 1000, static_cast<int>(percent),
      ms(c.sweep_clock), ms(c.mark_clock), ms(c.end_clock), ms(c.sweep_cpu), ms(c.assist_cpu),
      ms(c.worker_cpu), ms(c.idle_cpu), ms(c.end_cpu), megabytes(c.heap_at_start), megabytes(c.heap_at_end),
      megabytes(c.heap_live), megabytes(c.heap_goal), megabytes(c.stack_bytes), megabytes(c.globals_bytes),
      c.procs, c.forced ? " (forced)" : "");
  return std::min(result.size, capacity);
}

void write_gctrace(const cycle_record& cycle) noexcept {
  char line[k_gctrace_bytes];
  heap::write_error(line, format_gctrace(cycle, line, sizeof(line)));
}

}  // namespace cairn::gc
