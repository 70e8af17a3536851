// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/experiment.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>

#include <cairn/cairn.h>

#include <fmt/format.h>

#include "bench/pause/company.h"
#include "bench/pause/disturbance.h"
#include "bench/pause/machine.h"
#include "bench/pause/report_html.h"
#include "bench/pause/report_text.h"

namespace pause_bench {
namespace {

// The value of the first line of a /proc file that begins with `key`.
std::string line_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t value = line.find_first_not_of(" \t:", key.size());
    return value == line.npos ? "" : line.substr(value);
  }
  return "";
}

double kilobytes_of(const char* file, const std::string& key) {
  const std::string text = line_of(file, key);
  return text.empty() ? 0 : std::stod(text) * 1024;
}

std::string machine_line() {
  utsname system{};
  ::uname(&system);
  const std::string model = line_of("/proc/cpuinfo", "model name");
  return fmt::format("{} CPUs, {}; {:.0f} GiB; {} {}; clock: {}", std::thread::hardware_concurrency(),
                     model.empty() ? system.machine : model.c_str(),
                     kilobytes_of("/proc/meminfo", "MemTotal") / 0x1p30, system.sysname, system.release,
                     tick_clock::name());
}

std::string date_now() {
  char text[64];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

std::string command_of(const std::vector<std::string>& arguments) {
  std::string out;
  for (const std::string& argument : arguments) {
    const bool plain = argument.find_first_of(" '\"\\$&<>") == argument.npos;
    out += (out.empty() ? "" : " ") + (plain ? argument : "'" + argument + "'");
  }
  return out;
}

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void measure(experiment& out) {
  workload subject(out.what);
  out.live_bytes = subject.live_bytes();
  out.build_seconds = subject.build_seconds();
  out.exchanges_per_unit = subject.exchanges_per_unit();
  out.reads_per_reading = subject.reads_per_reading();
  company beside(out.what.parked, out.what.running);
  say(text_head(out));
  for (unsigned i = 0; i < out.what.repeat; i++) {
    round_record& round = out.rounds.emplace_back();
    beside.allocate(false);
    if (out.what.control != control_mode::off) {
      round.control = subject.run(false);
      round.control->slices = bare_slices(out.what.threads + out.what.allocators, out.what.seconds / 2);
    }
    beside.allocate(true);
    if (out.what.control != control_mode::only) round.collected = subject.run(true);
    if (out.what.repeat > 1) say(text_round(round, i + 1));
  }
  out.peak_rss_bytes = kilobytes_of("/proc/self/status", "VmHWM");
}

int measure_and_report(const command_line& line, const std::vector<std::string>& arguments) {
  // Opened first: a long run must not end with a name that cannot be written.
  std::ofstream page;
  if (!line.html.empty()) {
    page.open(line.html);
    if (!page) {
      std::fprintf(stderr, "pause: --html %s: cannot be written\n", line.html.c_str());
      return 1;
    }
  }
  tick_clock::calibrate();
  count_process_stops();
  experiment out{
      .what = line.what, .command = command_of(arguments), .machine = machine_line(), .date = date_now()};
  measure(out);
  say(text_report(out));
  if (line.html.empty()) return 0;
  page << html_report(out);
  page.close();
  if (!page) {
    std::fprintf(stderr, "pause: --html %s: could not be written to its end\n", line.html.c_str());
    return 1;
  }
  return 0;
}

}  // namespace

int pause_main(const std::vector<std::string>& arguments) {
  command_line line;
  try {
    line = read_command_line({arguments.begin() + 1, arguments.end()});
  } catch (const usage_error& e) {
    std::fprintf(stderr, "pause: %s (see pause --help)\n", e.what());
    return 2;
  }
  if (line.help) {
    say(help_text());
    return 0;
  }
  cairn::options chosen;
  chosen.gc_percent = line.what.gc_percent;
  chosen.memory_limit = line.what.memory_limit;
  return cairn::run([&] { return measure_and_report(line, arguments); }, chosen);
}

}  // namespace pause_bench
