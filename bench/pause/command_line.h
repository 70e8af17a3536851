// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the pause benchmark is asked to do.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pause_bench {

enum class shape_kind { tree, graph, arrays, ring };
enum class control_mode { on, off, only };

struct plan {
  shape_kind shape = shape_kind::graph;
  std::size_t live_bytes = std::size_t{256} << 20;  // of the shape; of a ring: its messages
  std::size_t ring_messages = 4096;                 // of all threads
  unsigned threads = 1;                             // that do units, readings and inserts
  unsigned allocators = 1;                          // that only allocate
  std::size_t parked = 0;                           // goroutines that wait, ten frames deep
  std::size_t running = 0;                          // goroutines that work every 10 ms
  double rate = 0;                                  // objects a second of all allocators; 0: full speed
  double unit_us = 10;                              // 0: inserts only
  double seconds = 10;
  double warmup_seconds = 1;
  std::optional<int> gc_percent = {};            // empty: the environment's
  std::optional<std::size_t> memory_limit = {};  // likewise
  control_mode control = control_mode::on;
  unsigned repeat = 1;
  std::uint64_t seed = 1;
};

struct command_line {
  plan what;
  std::string html;  // a file's name, empty: none
  bool help = false;
};

// An argument that cannot be used; what() is one line that names it.
class usage_error : public std::runtime_error {
  using runtime_error::runtime_error;
};

command_line read_command_line(const std::vector<std::string>& arguments);
const char* help_text();
const char* name_of(shape_kind shape);

}  // namespace pause_bench
