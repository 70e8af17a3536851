// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The environment variables that set the runtime up: CAIRNGC, CAIRNMEMLIMIT, ..., CAIRNDEBUG=name=value,...
//
// One table (settings(), in options.cc) states each one's name, default and effect; docs/environment.md
// carries the same sentences and a test compares the two. parse_options is pure: values in, options and
// complaints out. A value that does not parse leaves the default in place. An empty variable counts as
// unset.
//
// Runs once, when the runtime starts, outside runtime sections: it allocates.
#pragma once
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::gc {

struct debug_options {
  std::int64_t gctrace = 0;
  std::int64_t schedtrace = 0;  // milliseconds between lines; 0: none
  std::int64_t scheddetail = 0;
  std::int64_t gcpacertrace = 0;
  std::int64_t ptrcheck = 0;
  std::int64_t clobberfree = 0;
  std::int64_t gccheckmark = 0;
  std::int64_t gcstoptheworld = 0;
  std::int64_t invalidptr = 0;
  std::int64_t check = 0;
  std::int64_t delay = 0;  // of 1000
  std::int64_t seed = 0;   // 0: not given; options_from_environment chooses one when delay is on
};

// What the environment says. What the program says to run() or to the setters afterwards goes over it.
struct runtime_options {
  int gc_percent = 100;                 // -1: off
  std::size_t memory_limit = SIZE_MAX;  // bytes; SIZE_MAX: none
  int max_procs = 0;                    // 0: not given, see usable_cpus() in gc/cpu_count.h
  std::size_t stack_size = 256 * 1024;  // bytes of address space per fiber stack
  int signal = SIGURG;
  debug_options debug;
};

struct parsed_options {
  runtime_options values;
  std::vector<std::string> complaints;  // a line each: variable, value, what was expected, what is used
};

// Looks a variable up; nothing when it is not set.
using variable_lookup = std::function<std::optional<std::string_view>(std::string_view name)>;
parsed_options parse_options(const variable_lookup& lookup);

// parse_options of the process's environment; complaints go to standard error; max_procs and seed are never
// 0.
runtime_options options_from_environment();

// "64", "64B", "512KiB", "1MiB", "2GiB", "1TiB".
std::optional<std::size_t> parse_size(std::string_view text);

// The table. `debug` settings are names within CAIRNDEBUG.
struct setting {
  const char* name;
  const char* default_text;
  const char* comment;
  bool debug;
};
std::span<const setting> settings();

}  // namespace cairn::gc
