// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/depgraph/workload.h"

namespace depgraph {

struct command_line {
  std::string input;  // "-": standard input
  plan what;
  std::vector<setting> settings;
  bool check_only = false;
  bool help = false;
  std::string json;   // a file's name, empty: none
  std::string child;  // empty in the program that a user starts; see launch.h
};

// An argument that cannot be used; what() is one line that names it.
class usage_error : public std::runtime_error {
  using runtime_error::runtime_error;
};

command_line read_command_line(const std::vector<std::string>& arguments);
const char* help_text();

// "100", "off" (percent) and "96MiB", "auto" (limit), as the options take them. Throw usage_error.
int read_percent(const std::string& text);
std::size_t read_limit(const std::string& text);  // 0: auto

}  // namespace depgraph
