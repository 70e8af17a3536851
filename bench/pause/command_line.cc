// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/command_line.h"

#include <algorithm>
#include <charconv>

#include <cairn/cairn.h>

#include <fmt/format.h>

#include "bench/pause/objects.h"

namespace pause_bench {
namespace {

constexpr const char* k_shapes[] = {"tree", "graph", "arrays", "ring"};
constexpr std::size_t k_default_ring = 200'000;

struct scaled {
  double value;
  std::string_view unit;
};

// A number and what follows it.
scaled number_and_unit(const std::string& option, const std::string& text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || value < 0) throw usage_error(option + " " + text + ": not a number");
  return {value, std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end))};
}

double number(const std::string& option, const std::string& text, double least, double most,
              std::string_view unit = "") {
  scaled read = number_and_unit(option, text);
  if ((!read.unit.empty() && read.unit != unit) || read.value < least || read.value > most) {
    throw usage_error(fmt::format("{} {}: not a number from {} to {}", option, text, least, most));
  }
  return read.value;
}

template <class T>
T whole(const std::string& option, const std::string& text, T least, T most) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    throw usage_error(fmt::format("{} {}: not a whole number from {} to {}", option, text, least, most));
  }
  return value;
}

std::size_t size(const std::string& option, const std::string& text) {
  scaled read = number_and_unit(option, text);
  double bytes = -1;
  std::string_view unit = read.unit;
  if (unit.ends_with("iB")) unit.remove_suffix(2);
  if (unit.empty() || unit == "B") bytes = read.value;
  else if (unit == "K") bytes = read.value * 0x1p10;
  else if (unit == "M") bytes = read.value * 0x1p20;
  else if (unit == "G") bytes = read.value * 0x1p30;
  if (bytes < 1 || bytes > 0x1p40) {
    throw usage_error(option + " " + text + ": not a size such as 256M or 4GiB, up to 1024G");
  }
  return static_cast<std::size_t>(bytes);
}

double rate(const std::string& text) {
  if (text == "full") return 0;
  scaled read = number_and_unit("--rate", text);
  double factor = read.unit.empty() ? 1 : read.unit == "k" ? 1e3 : read.unit == "M" ? 1e6 : 0;
  if (read.value * factor < 1) {
    throw usage_error("--rate " + text + ": not objects a second, such as 500k or 20M, nor full");
  }
  return read.value * factor;
}

template <std::size_t N>
std::size_t one_of(const std::string& option, const std::string& text, const char* const (&names)[N]) {
  const char* const* found = std::find(std::begin(names), std::end(names), text);
  if (found == std::end(names))
    throw usage_error(fmt::format("{} {}: not one of {}", option, text, fmt::join(names, ", ")));
  return static_cast<std::size_t>(found - names);
}

// What the defaults of other options depend on.
struct given {
  bool live = false, ring = false;
};

void read_load_option(plan& into, given& was, const std::string& option, const std::string& value) {
  if (option == "--live") {
    into.live_bytes = size(option, value);
    was.live = true;
  } else if (option == "--shape") {
    into.shape = static_cast<shape_kind>(one_of(option, value, k_shapes));
  } else if (option == "--ring") {
    into.ring_messages = whole<std::size_t>(option, value, 1, 1'000'000'000);
    was.ring = true;
  } else if (option == "--threads") {
    into.threads = whole<unsigned>(option, value, 1, 256);
  } else if (option == "--allocators") {
    into.allocators = whole<unsigned>(option, value, 0, 256);
  } else if (option == "--parked") {
    into.parked = whole<std::size_t>(option, value, 0, 10'000'000);
  } else if (option == "--running") {
    into.running = whole<std::size_t>(option, value, 0, 1'000'000);
  } else if (option == "--rate") {
    into.rate = rate(value);
  } else if (option == "--unit") {
    into.unit_us = number(option, value, 0, 10'000, "us");
  } else {
    throw usage_error("unknown option " + option);
  }
}

void read_option(command_line& into, given& was, const std::string& option, const std::string& value) {
  plan& what = into.what;
  if (option == "--duration") what.seconds = number(option, value, 0.1, 86'400, "s");
  else if (option == "--warmup") what.warmup_seconds = number(option, value, 0, 3'600, "s");
  else if (option == "--percent")
    what.gc_percent = value == "off" ? cairn::gc_off : whole<int>(option, value, 1, 100'000);
  else if (option == "--memory-limit") what.memory_limit = size(option, value);
  else if (option == "--control")
    what.control = static_cast<control_mode>(one_of(option, value, {"on", "off", "only"}));
  else if (option == "--repeat") what.repeat = whole<unsigned>(option, value, 1, 1'000);
  else if (option == "--seed") what.seed = whole<std::uint64_t>(option, value, 0, UINT64_MAX);
  else if (option == "--html") into.html = value;
  else read_load_option(what, was, option, value);
}

void complete(plan& what, given was) {
  if (what.shape == shape_kind::ring) {
    if (was.ring && was.live) throw usage_error("--shape ring: --ring and --live both say how large it is");
    if (was.live) what.ring_messages = what.live_bytes / sizeof(message);
    else if (!was.ring) what.ring_messages = k_default_ring;
    what.live_bytes = what.ring_messages * sizeof(message);
  }
  if (what.ring_messages < what.threads) throw usage_error("--ring: fewer messages than threads");
  if (what.shape != shape_kind::ring && what.live_bytes / what.threads < k_least_shape_bytes) {
    throw usage_error(fmt::format("--live: less than {} MiB a thread", k_least_shape_bytes >> 20));
  }
  if (what.gc_percent == cairn::gc_off && !what.memory_limit && what.control != control_mode::only) {
    throw usage_error("--percent off: needs a --memory-limit, or the heap grows without end");
  }
}

}  // namespace

const char* name_of(shape_kind shape) { return k_shapes[static_cast<std::size_t>(shape)]; }

command_line read_command_line(const std::vector<std::string>& arguments) {
  command_line out;
  given was;
  for (std::size_t i = 0; i < arguments.size(); i++) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      out.help = true;
      return out;
    }
    if (!argument.starts_with("--")) throw usage_error("unexpected argument " + argument);
    std::size_t equals = argument.find('=');
    std::string option = argument.substr(0, equals);
    if (equals == argument.npos && i + 1 == arguments.size())
      throw usage_error(option + ": no value, or unknown");
    read_option(out, was, option, equals == argument.npos ? arguments[++i] : argument.substr(equals + 1));
  }
  complete(out.what, was);
  return out;
}

const char* help_text() {
  return R"(usage: pause [OPTION...]

How long the collector keeps a program waiting, as the program feels it. Threads repeat short units of pointer work
and inserts into a ring of messages, other threads allocate, and every interval between two of them is timed. The same
is then done with the collector off and reused objects (the control run), so that what the machine itself does to
such a loop is seen beside it.

  --live SIZE          live heap of the shape (default 256M)
  --shape SHAPE        graph (64 B nodes, 4 edges, two of them random; default), tree (32 B nodes), arrays (of 1 MiB,
                       pointers to 64 B objects), ring (nothing but the ring, 200000 messages)
  --ring N             messages of 1 KiB in the ring (default 4096, beside the shape)
  --threads N          threads that do units, readings, inserts (default 1); live heap and ring are divided among them
  --allocators N       threads beside them that allocate 64 B objects and drop them (default 1)
  --parked N           goroutines beside them that wait, ten frames deep (default 0)
  --running N          goroutines beside them that make and follow a short list every 10 ms (default 0)
  --rate R             objects a second of all allocators together, such as 500k or 20M (default full: full speed)
  --unit T             length of a unit, and of a reading, in us (default 10); 0: inserts only
  --percent P          GC percent, or off (default: CAIRNGC, else 100)
  --memory-limit SIZE  soft limit (default: CAIRNMEMLIMIT, else none)
  --duration S         seconds that are recorded, of each run (default 10)
  --warmup S           seconds before them (default 1); with the collector also until a cycle has ended, but no longer
                       than the recording; 0: none
  --repeat N           rounds, each a control run and a run with the collector; medians are shown (default 1)
  --control WHEN       on (default), off, only
  --html FILE          also write a page with figures
  --seed N             of the random choices (default 1)
  --help               this text

Exit status: 0, 1 when memory or a file could not be had, 2 when an argument cannot be used.
)";
}

}  // namespace pause_bench
