// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <thread>

#include <cairn/cairn.h>

namespace depgraph {
namespace {

template <class T>
T number(const std::string& option, const std::string& text, T least, T most) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most)) {
    throw usage_error(option + " " + text + ": not a number from " + std::to_string(least) + " to " +
                      std::to_string(most));
  }
  return value;
}

std::vector<setting> percent_settings(const std::string& list) {
  std::vector<setting> out;
  std::size_t at = 0;
  for (;;) {
    std::size_t comma = list.find(',', at);
    out.push_back({read_percent(list.substr(at, comma - at)), false, 0});
    if (comma == list.npos) return out;
    at = comma + 1;
  }
}

// By default one processor is left to the replacing thread.
int default_procs() { return static_cast<int>(std::max(2u, std::thread::hardware_concurrency()) - 1); }

void read_option(command_line& into, const std::string& option, const std::string& value,
                 std::string& percents, std::string& limit) {
  if (option == "--in-flight") into.what.in_flight = number<std::size_t>(option, value, 1, 10'000'000);
  else if (option == "--procs") into.what.procs = number<int>(option, value, 1, 1000);
  else if (option == "--seconds") into.what.seconds = number<double>(option, value, 0.01, 86400);
  else if (option == "--seed") into.what.seed = number<std::uint64_t>(option, value, 0, UINT64_MAX);
  else if (option == "--percents") percents = value;
  else if (option == "--memory-limit") limit = value;
  else if (option == "--json") into.json = value;
  else if (option == "--child") into.child = value;
  else throw usage_error("unknown option " + option);
}

}  // namespace

int read_percent(const std::string& text) {
  if (text == "off") return cairn::gc_off;
  return number<int>("--percents", text, 1, 100000);
}

std::size_t read_limit(const std::string& text) {
  if (text == "auto") return 0;
  std::size_t digits = text.find_first_not_of("0123456789");
  std::string unit = digits == text.npos ? "B" : text.substr(digits);
  unsigned shift = 0;
  if (unit == "KiB") shift = 10;
  else if (unit == "MiB") shift = 20;
  else if (unit == "GiB") shift = 30;
  else if (unit != "B")
    throw usage_error("--memory-limit " + text + ": not a size such as 96MiB, nor auto or none");
  return number<std::size_t>("--memory-limit", text.substr(0, digits), 1, SIZE_MAX >> 31) << shift;
}

command_line read_command_line(const std::vector<std::string>& arguments) {
  command_line out;
  out.what.procs = default_procs();
  std::string percents = "25,50,100,200,400", limit = "auto";
  for (std::size_t i = 0; i < arguments.size(); i++) {
    std::string argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      out.help = true;
    } else if (argument == "--check") {
      out.check_only = true;
    } else if (argument.starts_with("--")) {
      std::size_t equals = argument.find('=');
      std::string option = argument.substr(0, equals);
      if (equals == argument.npos && i + 1 == arguments.size())
        throw usage_error(option + ": no value, or unknown");
      std::string value = equals == argument.npos ? arguments[++i] : argument.substr(equals + 1);
      read_option(out, option, value, percents, limit);
    } else if (!out.input.empty()) {
      throw usage_error("more than one index: " + out.input + " and " + argument);
    } else {
      out.input = argument;
    }
  }
  if (percents != "none") out.settings = percent_settings(percents);
  if (limit != "none") out.settings.push_back({cairn::gc_off, true, read_limit(limit)});
  if (out.input.empty() && !out.help)
    throw usage_error("no package index: name a file, or - for standard input");
  if (out.settings.empty())
    throw usage_error("nothing to measure: --percents and --memory-limit are both none");
  return out;
}

const char* help_text() {
  return R"(usage: depgraph [OPTION...] FILE|-

Reads a Debian package index and builds the graph of its packages, versions, provides and dependencies out of
collected objects. For each setting of the collector, goroutines then ask, one a query (what does a package pull in,
why does it need another, which cycles is it part of, what breaks without it), while a thread keeps replacing packages.
A table at the end shows what memory each setting took and what time. Answers are checked against a plain
implementation, before the timing, of a state in its middle, and after it.

  apt-cache dumpavail | depgraph -

  --in-flight N        queries that have been asked and not answered, a goroutine each (default 10000)
  --procs N            how many of them may run at once (default: one less than there are processors)
  --seconds S          how long each setting is timed (default 5)
  --percents LIST      GC percents, each a number or off, or none (default 25,50,100,200,400)
  --memory-limit SIZE  one more setting: GC percent off and this limit; auto is half as much again as the graph
                       needs (the default), none leaves it out
  --seed N             of the questions and replacements (default 1)
  --check              only compare many answers with the plain implementation; nothing is timed
  --json FILE          also write all figures to FILE
  --help               this text

Exit status: 0, 1 when an answer was wrong or a setting failed, 2 when the input or an argument cannot be used.
)";
}

}  // namespace depgraph
